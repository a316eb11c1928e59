"""Threads of the store can be told apart from outside."""

from __future__ import annotations

import threading
from pathlib import Path

from rag_grpc.stores.embedded.store_thread import StoreThread


def test_the_kernel_knows_the_name() -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text().strip())

    thread = StoreThread(target=look, name="search-0-and-a-long-name")
    thread.start()
    thread.join()
    assert seen == ["search-0-and-a-"]
    assert thread.daemon

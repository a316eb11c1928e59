"""The production server in a thread of its own, for tests that block: their thread is not its event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rag_grpc.app import running_server
from rag_grpc.settings import Settings

_START = 60.0
"""Seconds that a start may take."""


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serve until the block ends; gives where the server listens."""
    started: queue.Queue[str | BaseException] = queue.Queue()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with running_server(settings) as server:
            started.put(server.grpc_address)
            await ended.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            started.put(error)

    thread = threading.Thread(target=run, name="server")
    thread.start()
    try:
        address = started.get(timeout=_START)
        if isinstance(address, BaseException):
            raise address
        yield address
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(ended.set)
        thread.join()
    if not started.empty():  # it served, and then broke
        raise RuntimeError("the server did not end well") from started.get()  # type: ignore[misc]  # an error by now


def quick_settings(store: str, folder: Path) -> Settings:
    """Settings of a server that tests share: free ports, a folder of its own, no pauses."""
    return Settings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        data_dir=folder,
        store=store,
        drain_pause=0.0,
        grace=5.0,
        disk_reserve_bytes=0,
    )

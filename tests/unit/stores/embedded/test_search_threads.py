"""Who waits for whom among searches."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from rag_grpc.stores.embedded import lexical_index
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.store import EmbeddedStore
from tests.contracts.fakes import JsonCodec, Records, find, prepared, put, spec
from tests.contracts.store_lexical import found_by


async def test_no_search_waits_for_words_that_another_one_wants_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical_index, "QUIET_SECONDS", 1e9)
    store = EmbeddedStore(tmp_path, codec=JsonCodec(), telemetry=Records())
    await store.open()
    collection = await store.create_collection(spec(), "")
    await put(store, collection, prepared("harbour"))
    state = store._engine.states[collection.id]
    assert state.view.lexical is not None
    assert not state.view.lexical.whole
    with state.following:  # as the writer thread does while it takes words in
        words = [asyncio.ensure_future(found_by(store, collection, "harbour")) for _ in range(3)]
        async with asyncio.timeout(10):
            result = await find(store, collection, (1, 0, 0, 0))
            exact = await find(store, collection, (1, 0, 0, 0), exact=True)
            (document,) = await store.documents(collection, ["harbour"], include_text=False)
        assert not any(each.done() for each in words)
    assert [hit.doc_id for hit in (*result.hits, *exact.hits)] == ["harbour"] * 2
    assert document is not None
    assert await asyncio.gather(*words) == [["harbour"]] * 3
    await store.close()


async def test_a_search_waits_for_one_read_of_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EmbeddedSettings(search_threads=1)
    store = EmbeddedStore(tmp_path, codec=JsonCodec(), telemetry=Records(), settings=settings)
    await store.open()
    collection = await store.create_collection(spec(), "")
    await put(store, collection, prepared("harbour"))
    threads = store._engine.searches
    done: list[str] = []
    answer = threads._answer

    def search_next(*arguments: Any) -> None:
        done.append("search")
        answer(*arguments)

    monkeypatch.setattr(threads, "_answer", search_next)
    begun, gate = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        begun.set()
        assert gate.wait(10)

    first = threads.read(hold)
    await asyncio.to_thread(begun.wait, 10)
    reads = [threads.read(lambda _: done.append("read")) for _ in range(20)]
    search = asyncio.ensure_future(find(store, collection, (1, 0, 0, 0), exact=True))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *reads, search)
    assert done[0] == "search"
    await store.close()

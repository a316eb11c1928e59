"""Who waits for whom among searches."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rag_grpc.stores.embedded import lexical_index
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

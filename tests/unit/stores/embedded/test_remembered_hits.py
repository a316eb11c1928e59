"""Hits that are remembered follow what is written: a search sees each change that was answered before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from rag_grpc.core.models import Collection, CollectionCounts, PatchMetadata, PreparedDocument, PutDocument
from rag_grpc.core.searches import Hit
from rag_grpc.stores.embedded import spare_file
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.store import EmbeddedStore
from tests.contracts.fakes import PACKED, JsonCodec, JsonHits, Records, find_packed, prepared, put, spec
from tests.unit.stores.embedded.failing_disk import eventually

DOCUMENTS = 40
ROUNDS = 150
NEAR = [1, 1, 1, 1]


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedStore]:
    # A machine with a small disk for scratch files remembers too.
    monkeypatch.setattr(spare_file, "LEFT_BYTES", 0)
    settings = EmbeddedSettings(
        index=IndexParameters(graph_from=4, compact_from=16), disk_reserve_bytes=0, snapshot_seconds=3600
    )
    store = EmbeddedStore(
        tmp_path, codec=JsonCodec(), telemetry=Records(), settings=settings, packing=JsonHits()
    )
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def collection(store: EmbeddedStore) -> Collection:
    made = await store.create_collection(spec("lettered", dimension=4), "e/1")
    for number in range(DOCUMENTS):
        await put(store, made, numbered(number, 0))
    (state,) = store._engine.states.values()
    await eventually(lambda: state.view.dense.graph is not None and not state.index.tail)
    return made


def numbered(number: int, version: int, text: str = "", chunk: str = "") -> PreparedDocument:
    rows = [(1.0, 1.0, 1.0, 1.0 + number / 100)] * 2
    return prepared(
        f"d{number}", rows, text=text, texts=[f"{chunk} {number}"] * 2, metadata={"version": float(version)}
    )


async def versions(store: EmbeddedStore, collection: Collection) -> dict[str, float]:
    hits = await find_packed(store, collection, NEAR, candidates=2 * DOCUMENTS, parts=PACKED)
    assert len(hits) == 2 * DOCUMENTS
    shown: dict[str, set[float]] = {}
    for hit in hits:
        shown.setdefault(hit.doc_id, set()).add(version_of(hit))
    assert all(len(each) == 1 for each in shown.values()), "two chunks of one document, of different versions"
    return {doc_id: each.pop() for doc_id, each in shown.items()}


def version_of(hit: Hit) -> float:
    assert hit.packed_metadata is not None
    version = JsonCodec().unpack(hit.packed_metadata)["version"]
    assert isinstance(version, float)
    return version


async def test_they_are_remembered(store: EmbeddedStore, collection: Collection) -> None:
    await versions(store, collection)
    (state,) = store._engine.states.values()
    dense = state.view.dense
    assert dense.hits is not None
    chunks = dense.slots.ids[: dense.slots.length]
    assert all(dense.hits.known(dense.slots.slots_of(chunks), dense.seq))


async def test_a_change_of_metadata_is_seen_by_the_next_search(
    store: EmbeddedStore, collection: Collection
) -> None:
    for version in range(1, 6):
        await store.submit(PatchMetadata(collection, "d3", {"version": float(version)}))
        for _ in range(2):
            assert (await versions(store, collection)) == {
                f"d{number}": float(version if number == 3 else 0) for number in range(DOCUMENTS)
            }


async def test_it_is_forgotten_before_there_is_a_view_that_shows_it(
    store: EmbeddedStore, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await versions(store, collection)
    known: list[list[bool]] = []
    publish = CollectionState.publish

    def look_and_publish(state: CollectionState, seq: int, counts: CollectionCounts) -> None:
        hits = state.index.hits.known(np.arange(5, 9), seq)
        known.append([bool(hit) for hit in hits])
        publish(state, seq, counts)

    monkeypatch.setattr(CollectionState, "publish", look_and_publish)
    await store.submit(PatchMetadata(collection, "d3", {"version": 1.0}))
    assert known == [[True, False, False, True]]


async def test_the_same_text_with_other_metadata_is_seen_too(
    store: EmbeddedStore, collection: Collection
) -> None:
    await versions(store, collection)
    await store.submit(PutDocument(collection, numbered(3, 7)))
    assert (await versions(store, collection))["d3"] == 7
    await store.submit(PutDocument(collection, numbered(3, 8, text="all of it")))
    assert (await versions(store, collection))["d3"] == 8


async def test_searches_beside_changes_see_each_that_was_answered(
    store: EmbeddedStore, collection: Collection
) -> None:
    answered = dict.fromkeys((f"d{number}" for number in range(DOCUMENTS)), 0.0)
    done = asyncio.Event()

    async def change(first: int) -> None:
        for version in range(1, ROUNDS):
            doc_id = f"d{first + 2 * (version % (DOCUMENTS // 2))}"
            await store.submit(PatchMetadata(collection, doc_id, {"version": float(version)}))
            answered[doc_id] = version

    async def search() -> int:
        searches = 0
        seen = dict(answered)
        while not done.is_set():
            least = dict(answered)
            now = await versions(store, collection)
            assert all(now[each] >= max(least[each], seen[each]) for each in now)
            seen = now
            searches += 1
        return searches

    searching = [asyncio.create_task(search()) for _ in range(3)]
    await asyncio.gather(change(0), change(1))
    done.set()
    assert min(await asyncio.gather(*searching)) > 5
    assert (await versions(store, collection)) == answered


async def test_a_compaction_begins_anew(store: EmbeddedStore, collection: Collection) -> None:
    await versions(store, collection)
    (state,) = store._engine.states.values()
    before = state.index
    for number in range(DOCUMENTS):
        await put(store, collection, numbered(number, 1, chunk="another"))
    await eventually(lambda: state.index is not before and state.view.dense.graph is not None)
    assert not list(before.vectors.path.parent.glob(f"{before.vectors.path.stem}*")), "they are left behind"
    for _ in range(2):
        assert set((await versions(store, collection)).values()) == {1.0}

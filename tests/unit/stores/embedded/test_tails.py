"""Long tails: a store serves with one after a start, and writers wait in proportion to what they bring."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from rag_grpc.core.models import Collection
from rag_grpc.core.searches import SearchStrategy
from rag_grpc.stores.embedded.dense_index import DenseIndex, IndexParameters
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.store import EmbeddedStore
from rag_grpc.stores.embedded.tails import LEAD, START_VALUES, TailBounds
from tests.contracts.fakes import JsonCodec, Records, find, prepared, put, spec
from tests.unit.stores.embedded.failing_disk import eventually

BOUND = 16
CHUNKS = 100


class Brake:
    """Lets graphs take chunks one by one, and as many as it is told."""

    def __init__(self) -> None:
        self.left = 10**6
        self._advance = DenseIndex.advance

    def advance(self, index: DenseIndex, oldest_seq: int, rows: int, *, threads: int | None = None) -> int:
        if not self.left:
            return 0
        self.left -= 1
        return self._advance(index, oldest_seq, min(rows, 1), threads=threads)


@pytest.fixture
def brake(monkeypatch: pytest.MonkeyPatch) -> Brake:
    brake = Brake()

    def advance(index: DenseIndex, oldest_seq: int, rows: int, *, threads: int | None = None) -> int:
        return brake.advance(index, oldest_seq, rows, threads=threads)

    monkeypatch.setattr(DenseIndex, "advance", advance)
    return brake


def make(path: Path) -> EmbeddedStore:
    settings = EmbeddedSettings(index=IndexParameters(graph_from=4), tail_bound=BOUND, disk_reserve_bytes=0)
    return EmbeddedStore(path, codec=JsonCodec(), telemetry=Records(), settings=settings)


async def without_a_graph(path: Path) -> tuple[EmbeddedStore, Collection]:
    """Open a store whose folder is as a kill leaves it before the first snapshot."""
    store = make(path)
    await store.open()
    made = await store.create_collection(spec("lettered", dimension=4), "e/1")
    await asyncio.gather(*(put(store, made, prepared(f"d{number}")) for number in range(CHUNKS)))
    (state,) = store._engine.states.values()
    await eventually(lambda: state.index.graph is not None)
    await store.close()
    remove_snapshots(path)
    return make(path), made


def remove_snapshots(path: Path) -> None:
    snapshots = list(path.rglob("snapshot-*"))
    assert snapshots
    for each in snapshots:
        shutil.rmtree(each)


async def test_a_store_serves_before_its_graph_has_all(tmp_path: Path, brake: Brake) -> None:
    store, made = await without_a_graph(tmp_path)
    brake.left = 0
    async with asyncio.timeout(20):
        await store.open()
    try:
        found = await find(store, made, [1.0] * 4, candidates=CHUNKS)
        assert len(found.hits) == CHUNKS
        assert found.strategy is SearchStrategy.EXACT
    finally:
        await store.close()


async def test_a_document_waits_until_the_graph_took_twice_what_it_brings(
    tmp_path: Path, brake: Brake
) -> None:
    store, made = await without_a_graph(tmp_path)
    brake.left = 0
    await store.open()
    try:
        writing = asyncio.ensure_future(put(store, made, prepared("late")))
        await asyncio.sleep(0.5)
        assert not writing.done()
        brake.left = LEAD
        async with asyncio.timeout(20):
            await writing
    finally:
        await store.close()


def test_a_tail_shrinks_to_its_bound_whatever_is_written() -> None:
    bounds = TailBounds(BOUND)
    for chunks in (1, 7, 1000):
        tail = 10_000
        while tail > BOUND + chunks:
            before = tail
            tail = bounds.before_writing(tail, chunks) + chunks
            assert tail < before
    assert bounds.before_writing(3, 1000) == BOUND


def test_at_a_start_wide_vectors_allow_fewer_chunks_than_narrow_ones() -> None:
    bounds = TailBounds(2048)
    assert bounds.at_start(4) == START_VALUES // 4
    assert bounds.at_start(384) == START_VALUES // 384
    assert bounds.at_start(4096) == 2048

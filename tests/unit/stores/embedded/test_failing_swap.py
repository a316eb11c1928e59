"""A disk that fails at any moment of a swap: the collection has the one embedder or the other, whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from rag_grpc.core.errors import NotReady, RagError
from rag_grpc.core.models import Collection
from rag_grpc.core.searches import HitParts
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.store import EmbeddedStore
from tests.contracts.fakes import JsonCodec, Records, find, prepared, put, spec
from tests.contracts.store_shadow import OTHER, keep_all, reembed
from tests.unit.stores.embedded.failing_disk import FailingDisk, eventually

IDS = "abcdefghij"

numbers = itertools.count()


def make(path: Path, vfs: str | None) -> EmbeddedStore:
    settings = EmbeddedSettings(
        index=IndexParameters(graph_from=4, compact_from=4), disk_reserve_bytes=0, vfs=vfs
    )
    return EmbeddedStore(path, codec=JsonCodec(), telemetry=Records(), settings=settings)


async def swapped(store: EmbeddedStore, collection: Collection, disk: FailingDisk, number: int) -> bool:
    """Gather all, then swap while the disk fails from an operation on; whether that was answered well."""
    async with store.shadow(collection, OTHER) as shadow:
        await keep_all(shadow)
        disk.break_at(number, disk.error)
        try:
            return await shadow.swap() is not None
        except RagError:
            return False
        finally:
            disk.heal()


async def check_whole(store: EmbeddedStore) -> Collection:
    """The collection is as one embedder left it, and all of it is found."""
    now = store.collection("lettered")
    found = await find(store, now, [1.0] * now.dimension, parts=HitParts(vectors=True), exact=True)
    assert sorted(hit.doc_id for hit in found.hits) == list(IDS)
    for hit in found.hits:
        assert hit.chunk.vector is not None
        assert len(hit.chunk.vector) == now.dimension
    key = await store.embedding_key(now, "a")
    assert key is not None
    assert key.startswith(b"other/1.") == (now.embedder == "other")
    return now


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError])
async def test_a_swap_comes_to_pass_whole_or_not_at_all(
    tmp_path: Path, error: Callable[[str], Exception]
) -> None:
    outcomes: set[tuple[bool, str]] = set()
    for number in range(12):
        disk = FailingDisk(f"swap-{next(numbers)}")
        disk.error = error
        path = tmp_path / f"{number}"
        store = make(path, disk.name)
        await store.open()
        made = await store.create_collection(spec("lettered", embedder="old", dimension=4), "old/1")
        for letter in IDS:
            await put(store, made, prepared(letter))
        answered = await swapped(store, made, disk, number)
        await eventually(lambda: store.status().can_write)  # noqa: B023 # awaited at once
        await _until_ready(store)
        now = await check_whole(store)
        outcomes.add((answered, now.embedder))
        if now.embedder == "old":
            now = await reembed(store, now)
        await put(store, now, prepared("a", [[1, 1, 1]]))
        await store.close()
        again = make(path, None)
        await again.open()
        assert (await check_after(again)).embedder == "other"
        await again.close()
    assert (True, "other") in outcomes
    assert (True, "old") not in outcomes
    assert (False, "old") in outcomes, "nothing ever failed"


async def check_after(store: EmbeddedStore) -> Collection:
    """All is there after a restart; "a" was written anew."""
    now = store.collection("lettered")
    found = await find(store, now, [1.0] * now.dimension, exact=True)
    assert sorted(hit.doc_id for hit in found.hits) == list(IDS)
    return now


async def _until_ready(store: EmbeddedStore) -> None:
    async def ready() -> bool:
        try:
            await find(store, store.collection("lettered"), [1.0] * store.collection("lettered").dimension)
        except (AssertionError, NotReady):
            return False
        return True

    for _ in range(1000):
        if await ready():
            return

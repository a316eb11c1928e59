"""What a change of embedder leaves behind is purged; what it is still gathering is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rag_grpc.core.models import Collection, DeleteRefs, DocumentRef
from rag_grpc.stores.embedded.database import open_reader
from rag_grpc.stores.embedded.store import EmbeddedStore
from tests.contracts.fakes import JsonCodec, Records, prepared, put, spec
from tests.contracts.store_shadow import OTHER, keep_all, reembed
from tests.unit.stores.embedded.failing_disk import eventually


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore(tmp_path, codec=JsonCodec(), telemetry=Records())
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def lettered(store: EmbeddedStore) -> Collection:
    made = await store.create_collection(spec("lettered", embedder="old"), "old/1")
    for letter in "abcde":
        await put(store, made, prepared(letter))
    return made


def rows(path: Path) -> tuple[int, ...]:
    """How many rows there are: of each side's vectors, of hashes, of shadows."""
    reader = open_reader(path / "rag.sqlite3")
    try:
        counted: list[Any] = [
            reader.execute(f"SELECT count(*) FROM {table}").get  # noqa: S608 # constants
            for table in ("embedding", "embedding_other", "shadow_content", "shadow")
        ]
    finally:
        reader.close()
    return tuple(counted)


async def test_the_side_left_behind_is_purged(
    store: EmbeddedStore, lettered: Collection, tmp_path: Path
) -> None:
    after = await reembed(store, lettered)
    await eventually(lambda: rows(tmp_path) == (0, 5, 0, 0))
    await reembed(store, after)
    await eventually(lambda: rows(tmp_path) == (5, 0, 0, 0))


async def test_what_was_kept_stays_until_it_is_discarded(
    store: EmbeddedStore, lettered: Collection, tmp_path: Path
) -> None:
    async with store.shadow(lettered, OTHER) as shadow:
        await keep_all(shadow)
    await store.submit(DeleteRefs(lettered, (DocumentRef("a"),)))
    await eventually(lambda: rows(tmp_path) == (4, 4, 4, 1))
    await store.discard_shadow(lettered)
    await eventually(lambda: rows(tmp_path) == (4, 0, 0, 0))


async def test_a_collection_that_is_removed_leaves_no_shadow(
    store: EmbeddedStore, lettered: Collection, tmp_path: Path
) -> None:
    async with store.shadow(lettered, OTHER) as shadow:
        await keep_all(shadow)
    await store.delete_collection(lettered)
    await eventually(lambda: rows(tmp_path) == (0, 0, 0, 0))

"""What the memory store does of its own accord; the rest is in the contract suite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from rag_grpc.core.models import (
    DeleteRefs,
    DocumentRef,
    PutDocument,
    PutOutcome,
    Write,
)
from rag_grpc.stores.memory import MemoryStore
from tests.contracts.fakes import JsonCodec, found_ids, prepared, put, spec


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    store = MemoryStore(codec=JsonCodec(), clock=iter(range(100, 10_000)).__next__)
    await store.open()
    yield store
    await store.close()


async def test_a_write_that_is_withdrawn_at_once_is_not_done(store: MemoryStore) -> None:
    made = await store.create_collection(spec(), "")
    kept, withdrawn = (store.submit(PutDocument(made, prepared(each))) for each in "ab")
    assert store.stats().writes_waiting == 2
    withdrawn.cancel()
    assert isinstance(await kept, PutOutcome)
    assert await found_ids(store, made) == ["a"]


async def test_a_write_that_breaks_does_not_stop_the_others(store: MemoryStore) -> None:
    made = await store.create_collection(spec(), "")
    broken: Write = PutDocument(made, prepared("a", [[1, 2]], texts=["wrong dimension"]))
    futures = [store.submit(broken), store.submit(PutDocument(made, prepared("b")))]
    first, second = await asyncio.gather(*futures, return_exceptions=True)
    assert isinstance(first, ValueError)
    assert isinstance(second, PutOutcome)


async def test_times_come_from_the_clock(store: MemoryStore) -> None:
    made = await store.create_collection(spec(), "")
    await put(store, made, prepared("a"))
    await put(store, made, prepared("a", [0, 1, 0, 0]))
    (document,) = await store.documents(made, ["a"], include_text=False)
    assert document is not None
    assert (made.create_time, document.create_time, document.update_time) == (100, 101, 102)


async def test_what_is_closed_keeps_nothing(store: MemoryStore) -> None:
    await store.create_collection(spec(), "")
    await store.close()
    await store.open()
    assert store.collections() == []


async def test_room_of_removed_vectors_is_used_again(store: MemoryStore) -> None:
    made = await store.create_collection(spec(), "")
    for place in range(3000):
        await put(store, made, prepared(f"d{place % 7}", [1, place, 0, 0]))
    await store.submit(DeleteRefs(made, (DocumentRef("d3"),)))
    matrix = store._contents(made)._matrix
    assert len(matrix._rows) <= 64
    assert await found_ids(store, made) == [f"d{place}" for place in (0, 1, 2, 4, 5, 6)]
    assert np.isfinite(matrix._rows[: matrix._size]).all()

"""Rows go when nobody can see them, in slices, and not before."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import numpy as np
import pytest

from rag_grpc.core.models import (
    Collection,
    DeleteRefs,
    DocumentRef,
    PatchMetadata,
)
from rag_grpc.core.searches import (
    DenseQuery,
    Found,
    Search,
    SearchResult,
    Selected,
)
from rag_grpc.stores.embedded import housekeeping
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.housekeeping import REST_BYTES, REST_CHANGES, REST_SECONDS, Housekeeping
from rag_grpc.stores.embedded.store import EmbeddedStore
from tests.contracts.fakes import JsonCodec, Records, prepared, put, select_all, spec
from tests.unit.stores.embedded.failing_disk import eventually


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    opened = EmbeddedStore(
        tmp_path, codec=JsonCodec(), telemetry=Records(), settings=EmbeddedSettings(disk_reserve_bytes=0)
    )
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def count(store: EmbeddedStore, tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Counts rows of a table, with a connection of its own."""
    reader = apsw.Connection(str(tmp_path / "rag.sqlite3"))

    def rows(table: str, where: str = "1") -> int:
        return int(reader.execute(f"SELECT count(*) FROM {table} WHERE {where}").get)  # noqa: S608

    yield rows
    reader.close()


class HeldSearch:
    """A search that stays inside its view until it is let go."""

    def __init__(self) -> None:
        self.inside, self.leave = threading.Event(), threading.Event()

    def select(self, found: Found) -> list[Selected]:
        self.inside.set()
        assert self.leave.wait(30)
        return select_all(found)

    def of(self, collection: Collection) -> Search:
        return Search(collection, 100, self.select, DenseQuery(np.ones(4, dtype=np.float32)))


async def test_what_a_search_still_sees_is_kept_and_then_goes(
    store: EmbeddedStore, count: Callable[..., int]
) -> None:
    collection = await store.create_collection(spec(), "")
    await put(store, collection, prepared("one", [(1, 1, 1, 1)] * 3, text="first", metadata={"n": 1.0}))
    await put(store, collection, prepared("two", text="stays"))
    held = HeldSearch()
    searching = asyncio.ensure_future(store.search([held.of(collection)]))
    await asyncio.to_thread(held.inside.wait, 30)
    await store.submit(PatchMetadata(collection, "one", {"n": 2.0}))
    await put(store, collection, prepared("one", [(1, 1, 1, 2)], text="second"))
    await store.submit(DeleteRefs(collection, (DocumentRef("two"),)))
    # Longer than housekeeping waits: it had its chance.
    await asyncio.sleep(2.5)
    assert count("document", "dead IS NOT NULL") == 2
    assert count("document_past") == 1
    held.leave.set()
    (result,) = await searching
    assert isinstance(result, SearchResult)
    assert [hit.doc_id for hit in result.hits] == ["one", "one", "one", "two"]
    assert {JsonCodec().unpack(hit.packed_metadata or b"{}").get("n") for hit in result.hits} == {1.0, None}
    await eventually(lambda: count("document") == 1)
    await eventually(lambda: count("document_past") == 0)
    assert {table: count(table) for table in ("document_text", "chunk", "embedding")} == {
        "document_text": 1,
        "chunk": 1,
        "embedding": 1,
    }
    await eventually(lambda: count("change") == 0)


async def test_many_go_in_slices(
    store: EmbeddedStore, count: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "SLICE_DOCUMENTS", 7)
    monkeypatch.setattr(housekeeping, "SLICE_CHUNKS", 10)
    collection = await store.create_collection(spec(), "")
    for number in range(50):
        await put(store, collection, prepared(f"d{number}", [(1, 1, number, 1)] * 3))
    await put(store, collection, prepared("stays", [(1, 1, 1, 1)] * 3))
    await store.submit(DeleteRefs(collection, tuple(DocumentRef(f"d{number}") for number in range(50))))
    await eventually(lambda: count("document") == 1)
    await eventually(lambda: count("change") == 0)
    assert count("chunk") == count("embedding") == 3


async def test_a_dropped_collection_goes_whole_and_the_other_stays(
    store: EmbeddedStore, count: Callable[..., int], tmp_path: Path
) -> None:
    gone = await store.create_collection(spec("gone"), "")
    stays = await store.create_collection(spec("stays"), "")
    for collection in (gone, stays):
        for number in range(30):
            await put(store, collection, prepared(f"d{number}", [(1, 1, number, 1)] * 2))
    await store.delete_collection(gone)
    await eventually(lambda: count("collection") == 1)
    assert count("document") == count("document_text") == 30
    assert count("chunk") == count("embedding") == 60
    assert not (tmp_path / "indexes" / str(gone.id)).exists()
    assert (tmp_path / "indexes" / str(stays.id)).exists()


@dataclass
class Stopped:
    """Housekeeping whose clock stands still until it is set."""

    house: Housekeeping
    now: float = 0.0

    def rests(self, collection: Collection) -> bool:
        return collection.id in self.house._rests


@pytest.fixture
def stopped(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch) -> Stopped:
    stopped = Stopped(store._engine._housekeeping)
    monkeypatch.setattr(stopped.house, "_clock", lambda: stopped.now)
    return stopped


async def resting(store: EmbeddedStore, stopped: Stopped) -> Collection:
    """A collection with one document that was cleaned, and with two of its dead since."""
    collection = await store.create_collection(spec(), "")
    await put(store, collection, prepared("one", (1, 1, 1, 1)))
    await eventually(lambda: stopped.rests(collection))
    for number in range(2):
        await put(store, collection, prepared("one", (1, 1, number, 2)))
    return collection


async def test_it_rests_between_writes_that_follow_each_other(
    store: EmbeddedStore, count: Callable[..., int], stopped: Stopped
) -> None:
    """A slice waits for the disk as long as a write does."""
    await resting(store, stopped)
    # Longer than the writer waits before it keeps house.
    await asyncio.sleep(1.5)
    assert count("document", "dead IS NOT NULL") == 2
    stopped.now += REST_SECONDS
    await eventually(lambda: count("document") == 1)


async def test_many_writes_end_a_rest(
    store: EmbeddedStore, count: Callable[..., int], stopped: Stopped
) -> None:
    collection = await resting(store, stopped)
    for number in range(REST_CHANGES):
        await put(store, collection, prepared("one", (1, 1, number, 3)))
    await eventually(lambda: count("document", "dead IS NOT NULL") < REST_CHANGES)


async def test_large_writes_end_a_rest(
    store: EmbeddedStore, count: Callable[..., int], stopped: Stopped
) -> None:
    """Each would make the file larger, though what it replaced is dead."""
    collection = await resting(store, stopped)
    await put(store, collection, prepared("one", text="x" * REST_BYTES))
    await eventually(lambda: count("document") == 1)


async def test_on_a_full_disk_nothing_rests(
    store: EmbeddedStore, count: Callable[..., int], stopped: Stopped, monkeypatch: pytest.MonkeyPatch
) -> None:
    await resting(store, stopped)
    room = store._engine._room
    monkeypatch.setattr(room, "look_again", lambda _: None)
    room.full = "nothing is free"
    await eventually(lambda: count("document") == 1)


async def test_a_collection_that_is_dropped_while_it_rests_goes(
    store: EmbeddedStore, count: Callable[..., int], stopped: Stopped
) -> None:
    collection = await resting(store, stopped)
    await store.delete_collection(collection)
    await eventually(lambda: count("document") == count("collection") == 0)
    assert not stopped.house._rests
    assert not stopped.house._used


def test_one_that_always_has_something_left_keeps_nobody_from_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states: Any = {number: SimpleNamespace(collection=SimpleNamespace(id=number)) for number in (1, 2, 3)}
    cleaned: list[int] = []

    def clean(_: Housekeeping, __: apsw.Connection, state: CollectionState) -> bool:
        cleaned.append(state.collection.id)
        return True

    monkeypatch.setattr(Housekeeping, "_clean", clean)
    house = Housekeeping(states)
    with apsw.Connection(":memory:") as connection:
        for _ in range(6):
            assert house(connection)
    assert cleaned == [1, 2, 3, 1, 2, 3]

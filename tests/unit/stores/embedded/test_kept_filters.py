"""What filters ask is kept over a restart, caught up with, and made anew where it cannot be trusted."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import structlog

from rag_grpc.core.filter_language import parse
from rag_grpc.core.models import DeleteRefs, DocumentRef, MetadataDict, PatchMetadata
from rag_grpc.stores.embedded import final_save, housekeeping, kept_filters
from rag_grpc.stores.embedded.database import open_reader
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.kept_filters import FILE, keep_filters
from rag_grpc.stores.embedded.store import EmbeddedStore
from tests.contracts.fakes import JsonCodec, Records, prepared, put, spec
from tests.process import snapshot_folder as damages
from tests.unit.stores.embedded.failing_disk import eventually
from tests.unit.stores.embedded.live_copy import copy_as_killed

DOCUMENTS = 40


def make_store(path: Path, snapshot_seconds: float = 1e9) -> EmbeddedStore:
    settings = EmbeddedSettings(
        index=IndexParameters(graph_from=8), disk_reserve_bytes=0, snapshot_seconds=snapshot_seconds
    )
    return EmbeddedStore(path, codec=JsonCodec(), telemetry=Records(), settings=settings)


def kept(data: Path) -> Path:
    (file,) = data.glob(f"indexes/*/{FILE}")
    return file


def state_folder(data: Path) -> Path:
    (folder,) = data.glob("indexes/*")
    return folder


async def fill(store: EmbeddedStore, first: int, end: int) -> None:
    collection = store.collection("things")
    rows = np.random.default_rng(first).normal(size=(end - first, 4)).astype(np.float32)
    for number, row in enumerate(rows, first):
        metadata: MetadataDict = {
            "n": float(number),
            "even": number % 2 == 0,
            "tags": [f"t{number % 3}"],
            "rare": None,
        }
        await put(store, collection, prepared(f"d-{number:02}", row, metadata=metadata))


async def matching(store: EmbeddedStore, text: str) -> int:
    filter_ = parse(text)
    assert filter_ is not None
    return await store.count_documents(store.collection("things"), filter_)


@pytest.fixture
async def saved(tmp_path: Path) -> Path:
    """A folder with a collection after a clean stop."""
    data = tmp_path / "data"
    store = make_store(data)
    await store.open()
    await store.create_collection(spec(), "")
    await fill(store, 0, DOCUMENTS)
    async with asyncio.timeout(10):
        while not store.stats().collections[0].graph:  # noqa: ASYNC110  # built by a thread of the store
            await asyncio.sleep(0.01)
    await store.close()
    return data


async def opened(data: Path) -> tuple[EmbeddedStore, list[str]]:
    store = make_store(data)
    with structlog.testing.capture_logs() as events:
        await store.open()
    return store, [event["event"] for event in events]


async def check(store: EmbeddedStore) -> None:
    assert await matching(store, "n >= 0") == DOCUMENTS
    assert await matching(store, "even = true") == DOCUMENTS // 2
    assert await matching(store, 'tags:"t0"') == len(range(0, DOCUMENTS, 3))
    assert await matching(store, 'doc_id = "d-07"') == 1


async def test_filters_of_a_clean_stop_are_used(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JsonCodec, "unpack", lambda *_: pytest.fail("a row was read"))
    store, events = await opened(saved)
    assert "filters_refused" not in events
    await check(store)
    await store.close()


async def test_what_was_kept_is_caught_up_with(saved: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copy(kept(saved), old)
    store, _ = await opened(saved)
    collection = store.collection("things")
    await fill(store, DOCUMENTS, DOCUMENTS + 10)
    await fill(store, 0, 2)
    await store.submit(PatchMetadata(collection, "d-03", {"even": True}))
    await store.submit(PatchMetadata(collection, "d-03", {"n": -3.0}))
    await store.submit(DeleteRefs(collection, (DocumentRef("d-04"), DocumentRef("d-45")), False))
    await store.close()
    shutil.copy(old, kept(saved))
    store, events = await opened(saved)
    # The log of changes reaches back to it: the kill of a server leaves such a folder.
    assert "filters_refused" not in events
    assert await matching(store, "n >= 0") == DOCUMENTS + 10 - 3
    assert await matching(store, "even = true") == (DOCUMENTS + 10) // 2
    assert await matching(store, "n < 0 AND even = true") == 1
    await store.close()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut": damages.truncate(FILE, 0.7),
    "empty": damages.truncate(FILE, 0.0),
    "a bit flipped in the checksum": damages.flip(FILE, 0.0),
    "a bit flipped in the head": damages.flip(FILE, 0.05),
    "a bit flipped": damages.flip(FILE, 0.9),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_is_damaged_is_refused_and_made_anew(saved: Path, damage: str) -> None:
    DAMAGES[damage](kept(saved).parent)
    store, events = await opened(saved)
    assert "filters_refused" in events
    await check(store)
    await store.close()
    store, events = await opened(saved)
    assert "filters_refused" not in events
    await store.close()


async def test_those_of_another_time_are_refused(saved: Path, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other")
    await other.open()
    await other.create_collection(spec(), "")
    await fill(other, 0, DOCUMENTS)
    await other.close()
    shutil.copy(kept(tmp_path / "other"), kept(saved))
    store, events = await opened(saved)
    assert "filters_refused" in events
    await check(store)
    await store.close()


async def test_those_of_the_databases_future_are_refused(saved: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(saved, old)
    store, _ = await opened(saved)
    # As many documents as before, so that their number says nothing.
    for number in range(5):
        await store.submit(PatchMetadata(store.collection("things"), f"d-{number:02}", {"n": -1.0}))
    await store.close()
    shutil.rmtree(old / "indexes")
    shutil.copytree(saved / "indexes", old / "indexes")
    store, events = await opened(old)
    assert "filters_refused" in events
    assert "snapshot_refused" in events
    await check(store)
    await store.close()


async def test_filters_are_kept_with_each_snapshot(tmp_path: Path) -> None:
    store = make_store(tmp_path, snapshot_seconds=1e-6)
    await store.open()
    await store.create_collection(spec(), "")
    await fill(store, 0, DOCUMENTS)
    async with asyncio.timeout(30):
        while store.stats().collections[0].snapshot_time is None:  # noqa: ASYNC110  # a child makes it
            await asyncio.sleep(0.01)
    assert kept(tmp_path).exists()
    await store.close()


async def test_the_log_is_kept_for_filters_while_they_are_first_written(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(saved).unlink()
    store, _ = await opened(saved)
    (state,) = store._engine.states.values()
    seen: list[int] = []
    monkeypatch.setattr(kept_filters, "sync", lambda _: seen.append(state.filters_seq))
    keep_filters(state, state_folder(saved))
    assert seen[0] == state.view.seq
    assert state.filters_seq == state.view.seq
    await store.close()


async def test_filters_that_find_no_room_leave_nothing(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(saved).unlink()
    store, _ = await opened(saved)
    (state,) = store._engine.states.values()

    def refuse(_: Path) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patched:
        patched.setattr(kept_filters, "sync", refuse)
        with pytest.raises(OSError, match="no room"):
            keep_filters(state, state_folder(saved))
    assert state.filters_seq == -1
    assert damages.leftovers_in(saved) == []
    await store.close()


async def test_a_stop_without_memory_for_filters_is_a_stop(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = await opened(saved)
    await fill(store, 0, 2)

    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(final_save, "keep_filters", refuse)
    await store.close()
    monkeypatch.setattr(final_save, "content_of", refuse)
    # The folder was let go of.
    store, _ = await opened(saved)
    await fill(store, 2, 4)
    await store.close()
    store, _ = await opened(saved)
    await check(store)
    await store.close()


async def test_what_was_not_written_to_is_not_saved_again(saved: Path) -> None:
    store, _ = await opened(saved)
    other = await store.create_collection(spec("other"), "")
    await put(store, other, prepared("one"))
    await store.close()
    files = [kept(saved), *damages.snapshots_in(saved)]
    made = [file.stat().st_ino for file in files]
    # The seq of all went on, that of these files did not.
    store, _ = await opened(saved)
    await store.close()
    assert [file.stat().st_ino for file in files if file.exists()] == made
    store, events = await opened(saved)
    assert "filters_refused" not in events
    await check(store)
    await store.submit(PatchMetadata(store.collection("things"), "d-03", {"n": 99.0}))
    await store.close()
    assert kept(saved).stat().st_ino != made[0]
    store, _ = await opened(saved)
    assert await matching(store, "n = 99") == 1
    await store.close()


@pytest.mark.parametrize(("patches", "stays"), [(DOCUMENTS // 2, True), (DOCUMENTS * 2, False)])
async def test_the_log_is_kept_for_filters_only_while_that_is_cheaper(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patches: int, *, stays: bool
) -> None:
    monkeypatch.setattr(housekeeping, "LOG_ROWS", 1)
    store, _ = await opened(saved)
    (state,) = store._engine.states.values()
    for number in range(patches):
        await store.submit(PatchMetadata(store.collection("things"), "d-00", {"n": float(1000 + number)}))
    if stays:
        assert state.filters_seq >= 0
        assert changes(saved) >= patches
    else:
        await eventually(lambda: state.filters_seq == -1)
        await eventually(lambda: changes(saved) < patches)
    killed = tmp_path / "killed"
    await copy_as_killed(saved, killed)
    await store.close()
    again, events = await opened(killed)
    assert ("filters_refused" in events) is not stays
    assert await matching(again, "n >= 1000") == 1
    assert await matching(again, "n >= 0") == DOCUMENTS
    await again.close()


def changes(data: Path) -> int:
    """Count the rows of the log of changes."""
    connection = open_reader(data / "rag.sqlite3")
    rows: int = connection.execute("SELECT count(*) FROM change").get
    connection.close()
    return rows

"""Whatever the disk does at whatever moment of a group: answers are true, and the store comes back."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import apsw
import pytest

from rag_grpc.core.errors import RagError, StorageFault, StorageFull
from rag_grpc.core.models import (
    Collection,
    DeleteRefs,
    DocumentRef,
    Outcome,
    PatchMetadata,
    PutDocument,
    Write,
)
from rag_grpc.core.store_state import StoreStatus
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.store import EmbeddedStore
from tests.contracts.fakes import JsonCodec, Records, find, found_ids, prepared, put, spec
from tests.unit.stores.embedded.failing_disk import FailingDisk, eventually

Shown = dict[str, tuple[str, int, bytes]]
"""What a reader sees of documents: text, chunks, metadata."""

numbers = itertools.count()


class Bench:
    """A store over a disk that can fail, and copies of its folder as a kill would leave it."""

    def __init__(self, path: Path) -> None:
        self.disk = FailingDisk(f"failing-{next(numbers)}")
        self.path = path
        self.store = self.make(self.disk.name, path / "data")
        self.copies = 0

    def make(self, vfs: str | None, path: Path) -> EmbeddedStore:
        return EmbeddedStore(
            path,
            codec=JsonCodec(),
            telemetry=Records(),
            settings=EmbeddedSettings(
                index=IndexParameters(graph_from=8, compact_from=8), disk_reserve_bytes=0, vfs=vfs
            ),
        )

    async def as_killed(self) -> tuple[Shown, list[str]]:
        """What a server would find that started now on what is on the disk; documents, and those found."""
        self.copies += 1
        copy = self.path / f"copy-{self.copies}"
        shutil.copytree(self.path / "data", copy, ignore=shutil.ignore_patterns("*-shm", "lock", "indexes"))
        store = self.make(None, copy)
        await store.open()
        try:
            collection = store.collection("things")
            shown = await documents_of(store, collection)
            assert store.counts(collection).documents == len(shown)
            assert store.counts(collection).chunks == sum(chunks for _, chunks, _ in shown.values())
            return shown, await found_ids(store, collection)
        finally:
            await store.close()
            shutil.rmtree(copy)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
async def store(bench: Bench) -> AsyncIterator[EmbeddedStore]:
    await bench.store.open()
    yield bench.store
    bench.disk.heal()
    await bench.store.close()


async def documents_of(store: EmbeddedStore, collection: Collection) -> Shown:
    page = await store.list_documents(collection, after=None, limit=1000, include_text=True, max_bytes=2**30)
    return {each.doc_id: (each.text, each.chunk_count, each.packed_metadata) for each in page.documents}


async def answers(store: EmbeddedStore, writes: list[Write]) -> list[Outcome | RagError]:
    """Submit all at once, so that they make one group, and wait for every answer."""
    futures = [store.submit(write) for write in writes]
    return [await _answer(future) for future in futures]


async def _answer(future: asyncio.Future[Outcome]) -> Outcome | RagError:
    try:
        return await future
    except RagError as error:
        return error


def group(collection: Collection, tag: str) -> list[Write]:
    """Twenty writes of every kind over documents 0 to 9, which are there, and new ones."""
    writes: list[Write] = [
        PutDocument(collection, prepared(f"new-{number}", [(1, number, 2, 3)] * 2, text=f"new {tag}"))
        for number in range(8)
    ]
    writes += [
        PutDocument(collection, prepared(f"old-{number}", [(number, 1, 1, 1)], text=f"again {tag}"))
        for number in range(4)
    ]
    writes += [PatchMetadata(collection, f"old-{number}", {"tag": tag}) for number in range(4, 8)]
    writes += [DeleteRefs(collection, (DocumentRef(f"old-{number}"),)) for number in range(8, 10)]
    writes += [PutDocument(collection, prepared("large", [(3, 1, 4, 1)] * 5, text="x" * 20_000 + tag))]
    writes += [PutDocument(collection, prepared("last", [(1, 1, 1, 2)], text=tag))]
    return writes


def place_of(write: Write) -> str:
    if isinstance(write, PutDocument):
        return write.document.doc_id
    if isinstance(write, PatchMetadata):
        return write.doc_id
    assert isinstance(write, DeleteRefs)
    return write.refs[0].doc_id


def after(shown: Shown, write: Write) -> tuple[str, int, bytes] | None:
    """What a document is when the write was done."""
    if isinstance(write, PutDocument):
        return write.document.text, len(write.document.chunks), write.document.packed_metadata
    if isinstance(write, PatchMetadata):
        text, chunks, _ = shown[write.doc_id]
        return text, chunks, JsonCodec().pack(write.patch)
    return None


async def filled(store: EmbeddedStore) -> Collection:
    collection = await store.create_collection(spec(), "")
    for number in range(10):
        await put(store, collection, prepared(f"old-{number}", [(1, 1, number, 1)], text="old"))
    return collection


def expected(before: Shown, writes: list[Write], found: list[Outcome | RagError]) -> Shown:
    """What is there where successes happened and refusals did not."""
    wanted = dict(before)
    for write, answer in zip(writes, found, strict=True):
        if isinstance(answer, RagError):
            continue
        done = after(before, write)
        if done is None:
            wanted.pop(place_of(write))
        else:
            wanted[place_of(write)] = done
    return wanted


GROUP_OPERATIONS = 30
"""More than one group takes, which writes some ten pages of the log with two operations each."""

FAILURES: dict[str, tuple[Callable[[str], Exception], tuple[str, ...], type[RagError]]] = {
    "full at writes": (apsw.FullError, ("write",), StorageFull),
    "faults at writes": (apsw.IOError, ("write",), StorageFault),
    "faults at syncs": (apsw.IOError, ("sync",), StorageFault),
    "no memory": (apsw.NoMemError, ("write", "sync"), StorageFault),
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("lasting", [True, False], ids=["until healed", "for a moment"])
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_at_every_position_of_a_group_is_answered_truly(
    bench: Bench, store: EmbeddedStore, failure: str, lasting: bool
) -> None:
    error, kinds, refusal = FAILURES[failure]
    collection = await filled(store)
    refused = 0
    for position in positions(every=failure == "full at writes" and lasting):
        before = await documents_of(store, collection)
        bench.disk.break_at(position, error, *kinds, until=None if lasting else position + 2)
        writes = group(collection, f"{position}")
        found = await answers(store, writes)
        met = bench.disk.failures
        wrong = [each for each in found if isinstance(each, RagError) and not isinstance(each, refusal)]
        assert not wrong, (position, wrong)
        refused += sum(isinstance(each, RagError) for each in found)
        wanted = expected(before, writes, found)
        assert await documents_of(store, collection) == wanted, position
        if refusal is StorageFull or position % 5 == 0:
            on_disk, hits = await bench.as_killed()
            assert on_disk == wanted, position
            assert hits == sorted(wanted)
        bench.disk.heal()
        # It takes the same writes now; then what they changed is put back for the next position.
        again = await answers(store, writes)
        assert not [each for each in again if isinstance(each, RagError) and "old-" not in str(each)], again
        assert await found_ids(store, collection) == sorted(await documents_of(store, collection))
        for number in range(10):
            await put(store, collection, prepared(f"old-{number}", [(1, 1, number, 1)], text="old"))
        if position >= GROUP_OPERATIONS and not met:
            break
    else:
        raise AssertionError("the group never came to its end")
    # Where nothing can have been written, a failure of a moment is tried again, and nobody is told.
    absorbed = not lasting and error is not apsw.IOError
    assert (refused > 3) != absorbed


def positions(*, every: bool) -> Iterator[int]:
    """Every operation of the group; then, where it is tried write by write, and there are hundreds, some."""
    yield from range(GROUP_OPERATIONS) if every else range(0, GROUP_OPERATIONS, 7)
    yield from range(GROUP_OPERATIONS, 2000, 97)


async def test_health_turns_when_nothing_can_be_written_and_comes_back(
    bench: Bench, store: EmbeddedStore
) -> None:
    collection = await filled(store)
    told: list[StoreStatus] = []
    store.subscribe(told.append)
    bench.disk.break_at(0, apsw.FullError)
    (answer,) = await answers(store, [PutDocument(collection, prepared("more"))])
    assert isinstance(answer, StorageFull)
    await eventually(lambda: not store.status().can_write)
    assert store.status().can_read
    assert len(await found_ids(store, collection)) == 10
    bench.disk.heal()
    await eventually(lambda: store.status().can_write)
    assert [each.can_write for each in told] == [False, True]
    await put(store, collection, prepared("more"))


async def test_a_failed_commit_stays_failed_over_a_kill(bench: Bench, store: EmbeddedStore) -> None:
    collection = await filled(store)
    for number in range(20):
        # The frames are in the log, the last one with its mark; only the sync fails, once. It may be
        # housekeeping that meets it: then once more.
        bench.disk.break_at(0, apsw.IOError, "sync", until=1)
        doc_id = f"more-{number}"
        (answer,) = await answers(store, [PutDocument(collection, prepared(doc_id))])
        if isinstance(answer, StorageFault):
            break
    assert isinstance(answer, StorageFault)
    shown, hits = await bench.as_killed()
    assert doc_id not in shown
    assert doc_id not in hits
    await eventually(lambda: store.status().can_write)
    await put(store, collection, prepared(doc_id))
    assert doc_id in await found_ids(store, collection)


async def test_a_collection_is_made_whole_or_not_at_all(bench: Bench, store: EmbeddedStore) -> None:
    for number in itertools.count():
        bench.disk.break_at(number, apsw.FullError)
        try:
            await store.create_collection(spec(f"made-{number}"), "")
        except StorageFull:
            assert [each.name for each in store.collections()] == []
            bench.disk.heal()
            await eventually(lambda: store.status().can_write)
            collection = await store.create_collection(spec(f"made-{number}"), "")
            await store.delete_collection(collection)
        else:
            assert number > 2
            break


async def test_a_collection_that_could_not_be_removed_is_still_there(
    bench: Bench, store: EmbeddedStore
) -> None:
    collection = await filled(store)
    bench.disk.break_at(0, apsw.FullError)
    with pytest.raises(StorageFull):
        await store.delete_collection(collection)
    assert store.collection("things") == collection
    assert len(await found_ids(store, collection)) == 10
    bench.disk.heal()
    await store.delete_collection(collection)
    assert store.collections() == []


async def test_housekeeping_that_fails_is_done_later(bench: Bench, store: EmbeddedStore) -> None:
    collection = await filled(store)
    await store.submit(DeleteRefs(collection, tuple(DocumentRef(f"old-{n}") for n in range(9))))
    bench.disk.break_at(0, apsw.IOError)
    await eventually(lambda: bench.disk.failures > 0)
    bench.disk.heal()
    reader = apsw.Connection(str(bench.path / "data" / "rag.sqlite3"))
    try:
        await eventually(
            lambda: reader.execute("SELECT count(*) FROM document WHERE dead IS NOT NULL").get == 0
        )
    finally:
        reader.close()
    result = await find(store, collection, (1, 1, 9, 1))
    assert [hit.doc_id for hit in result.hits] == ["old-9"]

"""The index of words on the disk: every damage refused and made good, catching up, and renewal."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import tantivy

from rag_grpc.core.analysis import PlainAnalyzer
from rag_grpc.core.errors import NotReady, WordsNotReady
from rag_grpc.core.models import Chunking, Collection, DeleteRefs, DocumentRef, Metric
from rag_grpc.core.searches import LexicalQuery, Search
from rag_grpc.stores.embedded import following, lexical_index
from rag_grpc.stores.embedded.awake_words import WriterPlaces
from rag_grpc.stores.embedded.lexical_index import LexicalIndex
from rag_grpc.stores.embedded.lexical_schema import ChunkText
from rag_grpc.stores.embedded.store import EmbeddedStore
from tests.contracts.fakes import JsonCodec, Records, put, spec
from tests.contracts.store_lexical import find_words, found_by, select_words, written

DOCUMENTS = 40
FEW_CHUNKS = 60


class OtherAnalyzer(PlainAnalyzer):
    version = "another"


def make_store(path: Path, records: Records, analyzer: PlainAnalyzer | None = None) -> EmbeddedStore:
    return EmbeddedStore(path, codec=JsonCodec(), telemetry=records, analyzer=analyzer or PlainAnalyzer())


def folder_of(data: Path) -> Path:
    (folder,) = (data / "indexes").glob("*/lexical-*")
    return folder


@pytest.fixture
async def saved(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    store = make_store(data, Records())
    await store.open()
    collection = await store.create_collection(spec(), "")
    for number in range(DOCUMENTS):
        await put(store, collection, written(f"d{number:02}", f"lion word{number}"))
    await store.close()
    return data


async def check(store: EmbeddedStore) -> None:
    collection = store.collection("things")
    assert len(await found_by(store, collection, "lion")) == DOCUMENTS
    assert await found_by(store, collection, "word7") == ["d07"]
    await put(store, collection, written("late", "lion tiger"))
    assert await found_by(store, collection, "tiger") == ["late"]


def changed(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "reached.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def without(pattern: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        for path in folder.glob(pattern):
            path.unlink()

    return remove


def emptied(pattern: str) -> Callable[[Path], None]:
    def empty(folder: Path) -> None:
        for path in folder.glob(pattern):
            path.write_bytes(b"")

    return empty


DAMAGES: dict[str, Callable[[Path], None]] = {
    "no folder": shutil.rmtree,
    "never finished": without("reached.json"),
    "not json": emptied("reached.json"),
    "another format": changed(format=0),
    "another analysis": changed(analyzer="older"),
    "another collection": changed(uid="gone"),
    "older than the log": changed(seq=-1),
    "no list of segments": without("meta.json"),
    "empty list of segments": emptied("meta.json"),
    "no terms": without("*.term"),
    "empty postings": emptied("*.idx"),
    "empty fast fields": emptied("*.fast"),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_a_damaged_index_is_made_anew(saved: Path, name: str) -> None:
    DAMAGES[name](folder_of(saved))
    records = Records()
    store = make_store(saved, records)
    await store.open()
    try:
        with suppress(WordsNotReady):
            await store.word_counts(store.collection("things"), ["lion"])
        async with asyncio.timeout(30):
            while True:
                # What only a search can notice makes it NotReady until the index was made anew.
                (result,) = await store.search(
                    [Search(store.collection("things"), 5, select_words, lexical=LexicalQuery("lion"))]
                )
                if not isinstance(result, NotReady):
                    break
                await asyncio.sleep(0.01)
        await check(store)
    finally:
        await store.close()
    assert len(list((saved / "indexes").glob("*/lexical-*"))) == 1


async def test_a_folder_of_another_analysis_is_not_used(saved: Path) -> None:
    records = Records()
    before = folder_of(saved)
    store = make_store(saved, records, OtherAnalyzer())
    await store.open()
    try:
        await check(store)
    finally:
        await store.close()
    assert folder_of(saved) != before
    assert "lexical_index_refused" in records.events


async def test_what_the_index_has_already_is_not_taken_in_twice(saved: Path) -> None:
    changed(seq=0)(folder_of(saved))
    records = Records()
    store = make_store(saved, records)
    await store.open()
    try:
        await check(store)
    finally:
        await store.close()


async def dead_share(data: Path) -> float:
    meta = json.loads((folder_of(data) / "meta.json").read_text())
    chunks = sum(each["max_doc"] for each in meta["segments"])
    dead = sum(each["deletes"]["num_deleted_docs"] for each in meta["segments"] if each["deletes"])
    return float(dead / chunks)


async def test_an_index_with_many_dead_is_renewed_while_it_serves(tmp_path: Path) -> None:
    data, records = tmp_path / "data", Records()
    store = make_store(data, records)
    await store.open()
    try:
        collection = await store.create_collection(spec(), "")
        await asyncio.gather(
            *(put(store, collection, written(f"d{place:03}", f"lion word{place}")) for place in range(400))
        )
        await delete(store, collection, range(200))
        async with asyncio.timeout(30):
            while "lexical_index_rebuilt" not in records.events:
                assert len(await found_by(store, collection, "lion", candidates=500)) == 200
                await asyncio.sleep(0.01)
        assert len(await found_by(store, collection, "lion", candidates=500)) == 200
        assert await found_by(store, collection, "word7 word207") == ["d207"]
        assert await dead_share(data) < 0.2
        await put(store, collection, written("late", "tiger"))
        assert await found_by(store, collection, "tiger") == ["late"]
    finally:
        await store.close()
    store = make_store(data, Records())
    await store.open()
    try:
        assert len((await find_words(store, store.collection("things"), "lion", candidates=500)).hits) == 200
    finally:
        await store.close()


async def delete(store: EmbeddedStore, collection: Collection, places: range) -> None:
    # Together: a pause would have the index renewed in the middle of it.
    await asyncio.gather(
        *(store.submit(DeleteRefs(collection, (DocumentRef(f"d{place:03}"),))) for place in places)
    )


async def test_a_deleted_collection_leaves_no_index(saved: Path) -> None:
    store = make_store(saved, Records())
    await store.open()
    try:
        collection = store.collection("things")
        await put(store, collection, written("late", "lion"))
        await store.delete_collection(collection)
        assert list((saved / "indexes").iterdir()) == []
    finally:
        await store.close()


async def test_what_was_committed_is_noted_while_later_words_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while documents come without end, when some words wait whenever somebody looks."""
    monkeypatch.setattr(following, "EAGER_CHUNKS", 3)
    monkeypatch.setattr(lexical_index, "QUIET_SECONDS", 3600)
    store = make_store(tmp_path / "data", Records())
    await store.open()
    collection = await store.create_collection(spec(), "")
    seqs = [(await put(store, collection, written(f"d{number}", "lion"))).revision for number in range(5)]
    (state,) = store._engine.states.values()
    with state.following:
        assert state.lexical.pending == 2
        state.lexical.note(state.view.seq)
    assert state.lexical.durable_seq == seqs[2]
    (folder,) = (tmp_path / "data" / "indexes").glob("*/lexical-*")
    assert json.loads((folder / "reached.json").read_text())["seq"] == seqs[2]
    await store.close()
    again = make_store(tmp_path / "data", Records())
    await again.open()
    assert len(await found_by(again, again.collection("things"), "lion")) == 5
    await again.close()


def bare_index(folder: Path, *, places: int = 1) -> LexicalIndex:
    collection = Collection(1, "uid", "things", "none", "", 4, Metric.COSINE, Chunking(), "", 0)
    return LexicalIndex(collection, PlainAnalyzer(), folder, seq=0, places=WriterPlaces(places))


def add(index: LexicalIndex, number: int) -> None:
    """Write enough for a segment of its own, and have it committed."""
    chunks = range(FEW_CHUNKS * number, FEW_CHUNKS * (number + 1))
    index.add(ChunkText(each, each, "", (), f"lion word{each}") for each in chunks)
    index.commit()


def found(index: LexicalIndex) -> int:
    searcher = index.view().searcher
    return searcher.num_docs if searcher is not None else 0


def segments_of(folder: Path) -> set[str]:
    listed = json.loads((folder / "meta.json").read_text())["segments"]
    return {each["segment_id"].replace("-", "") for each in listed}


@pytest.mark.parametrize("places", [0, 1])
def test_segments_are_merged_also_where_each_commit_closes_its_writer(tmp_path: Path, places: int) -> None:
    """As in a server with more collections that are written to than writers may be open."""
    index = bare_index(tmp_path / "words", places=places)
    for number in range(48):
        add(index, number)
    assert found(index) == FEW_CHUNKS * 48
    index.close()
    assert len(segments_of(tmp_path / "words")) < 24


def test_opening_anew_leaves_no_file_of_a_merge_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight segments are merged, so that a merge is under way each time."""
    monkeypatch.setattr(lexical_index, "MOST_COMMITS", 8)
    index = bare_index(tmp_path / "words")
    for number in range(64):
        add(index, number)
        assert found(index) == FEW_CHUNKS * (number + 1)
    index.close()
    segments = segments_of(tmp_path / "words")
    files = [each for each in (tmp_path / "words").iterdir() if len(each.stem) == len(min(segments))]
    assert len(files) >= len(segments)
    assert [each.name for each in files if each.stem not in segments] == []


def test_an_index_that_cannot_be_opened_anew_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical_index, "MOST_COMMITS", 2)
    index = bare_index(tmp_path / "words")
    add(index, 0)
    refused = []

    class Refusing:
        @staticmethod
        def open(path: str) -> None:
            refused.append(path)
            raise ValueError("too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(tantivy, "Index", Refusing)
        for number in (1, 2, 3):
            add(index, number)
            assert found(index) == FEW_CHUNKS * (number + 1)
    assert len(refused) == 2, "at the second commit and the fourth"
    for number in (4, 5):
        add(index, number)
    assert found(index) == FEW_CHUNKS * 6
    index.close()


async def test_files_are_opened_anew_after_so_many_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tantivy remembers of files that are gone is let go, and no search sees anything of it."""
    monkeypatch.setattr(lexical_index, "MOST_COMMITS", 3)
    store = make_store(tmp_path / "data", Records())
    await store.open()
    try:
        collection = await store.create_collection(spec(), "")
        await put(store, collection, written("first", "lion"))
        await found_by(store, collection, "lion")
        (state,) = store._engine.states.values()
        index, opened = state.lexical._index, 0
        with state.hold(words=True) as held:
            for number in range(10):
                await put(store, collection, written(f"d{number}", "lion"))
                assert len(await found_by(store, collection, "lion")) == number + 2
                opened += state.lexical._index is not index
                index = state.lexical._index
            assert held.lexical is not None
            assert held.lexical.searcher is not None
            assert held.lexical.searcher.num_docs == 1
        assert opened == 3, "after the third, sixth and ninth commit"
        await store.submit(DeleteRefs(collection, (DocumentRef("first"),)))
        assert len(await found_by(store, collection, "lion")) == 10
    finally:
        await store.close()

"""Filters in every call that takes one, held to the plain evaluation of core.filters."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_grpc.core.filter_language import parse
from rag_grpc.core.filters import Facts, Filter, matches
from rag_grpc.core.models import (
    Collection,
    DeleteMatches,
    DeleteOutcome,
    DeleteRefs,
    Document,
    DocumentRef,
    MetadataDict,
    PatchMetadata,
    PreparedDocument,
    PutDocument,
)
from rag_grpc.core.ports import Store
from rag_grpc.core.searches import DenseQuery, Search, SearchResult, SearchStrategy
from tests.contracts import filter_cases
from tests.contracts.fakes import JsonCodec, prepared, put, select_all, spec

MANY = 10_000_000


def tree(text: str) -> Filter:
    parsed = parse(text)
    assert parsed is not None
    return parsed


def passes(filter_: Filter, document: Document) -> bool:
    return matches(
        filter_,
        Facts(
            document.doc_id,
            document.title,
            document.create_time,
            document.update_time,
            JsonCodec().unpack(document.packed_metadata),
        ),
    )


async def listed(
    store: Store, collection: Collection, filter_: Filter | None, *, limit: int = 100
) -> list[Document]:
    """Every document that passes, by pages."""
    found: list[Document] = []
    after: str | None = None
    while True:
        page = await store.list_documents(
            collection, after=after, limit=limit, include_text=True, max_bytes=MANY, filter=filter_
        )
        found += page.documents
        if not page.more:
            return found
        assert page.documents
        after = page.documents[-1].doc_id


async def searched(
    store: Store, collection: Collection, filter_: Filter | None, *, k: int = 1000, exact: bool = False
) -> SearchResult:
    vector = np.array([1, 2, 3, 4], np.float32)
    search = Search(collection, k, select_all, DenseQuery(vector, exact=exact), filter=filter_)
    (result,) = await store.search([search])
    assert isinstance(result, SearchResult), result
    return result


async def check(store: Store, collection: Collection, filters: Sequence[Filter]) -> None:
    """Every call says of every filter what the plain evaluation says."""
    everything = await listed(store, collection, None)
    assert len(everything) == store.counts(collection).documents
    for filter_ in filters:
        expected = [each for each in everything if passes(filter_, each)]
        assert await listed(store, collection, filter_, limit=3) == expected
        assert await store.count_documents(collection, filter_) == len(expected)
        found = await store.matches(collection, filter_)
        assert sorted(each.doc_id for each in found) == sorted(each.doc_id for each in expected)
        chunks = sum(each.chunk_count for each in expected)
        for exact in (False, True):
            result = await searched(store, collection, filter_, exact=exact)
            assert result.matching_chunks == chunks
            assert len(result.hits) == chunks
            assert {hit.doc_id for hit in result.hits} == {each.doc_id for each in expected}
        few = await searched(store, collection, filter_, k=2)
        assert [hit[:1] + hit[4:5] for hit in few.hits] == [
            hit[:1] + hit[4:5] for hit in (await searched(store, collection, filter_, exact=True)).hits[:2]
        ]


class FilterContract:
    """list_documents, count_documents, matches and search with a filter."""

    durable: ClassVar[bool] = False

    def make_store(self, path: Path) -> Store:
        raise NotImplementedError

    async def test_what_passes_is_found_listed_counted_and_matched(
        self, store: Store, collection: Collection
    ) -> None:
        await put(store, collection, prepared("a", [[1, 0, 0, 0]], title="A", metadata={"year": 2020.0}))
        await put(store, collection, prepared("b", [[0, 1, 0, 0], [0, 0, 1, 0]], metadata={"year": 2021.0}))
        await put(store, collection, prepared("c", metadata={"tags": ["x", 1.0], "deep": {"n": True}}))
        await put(store, collection, prepared("d", text="words"))
        for text, expected in {
            "year >= 2020": ["a", "b"],
            "NOT year >= 2021": ["a", "c", "d"],
            "year != 2020": ["b"],
            'tags:"x" AND deep.n = true': ["c"],
            'title = "" AND NOT year:*': ["c", "d"],
            'doc_id > "b"': ["c", "d"],
            'create_time > "2020-01-01T00:00:00Z"': ["a", "b", "c", "d"],
            'update_time < "2020"': [],
            "no.such.key:*": [],
        }.items():
            found = await listed(store, collection, tree(text), limit=1)
            assert [each.doc_id for each in found] == expected, text
            await check(store, collection, [tree(text)])
        assert [each.text for each in await listed(store, collection, tree('doc_id = "d"'))] == ["words"]

    async def test_no_filter_says_nothing_of_what_matched(self, store: Store, collection: Collection) -> None:
        await put(store, collection, prepared("a"))
        assert (await searched(store, collection, None)).matching_chunks is None
        assert await store.count_documents(collection, None) == 1

    async def test_a_page_of_what_passes_ends_by_size(self, store: Store, collection: Collection) -> None:
        for place in range(6):
            document = prepared(f"d{place}", text="x" * 100, metadata={"even": place % 2 == 0})
            await put(store, collection, document)
        even = tree("even = true")
        page = await store.list_documents(
            collection, after=None, limit=100, include_text=True, max_bytes=250, filter=even
        )
        assert [each.doc_id for each in page.documents] == ["d0", "d2"]
        assert page.more
        page = await store.list_documents(
            collection, after="d2", limit=1, include_text=False, max_bytes=250, filter=even
        )
        assert ([each.doc_id for each in page.documents], page.more) == (["d4"], False)

    async def test_a_change_counts_when_it_is_answered(self, store: Store, collection: Collection) -> None:
        old, new = tree("state = 1"), tree("state = 2")
        await put(store, collection, prepared("a", metadata={"state": 1.0}))
        await put(store, collection, prepared("b", metadata={"state": 1.0}))
        await store.submit(PatchMetadata(collection, "a", {"state": 2.0}))
        await check(store, collection, [old, new])
        assert [hit.doc_id for hit in (await searched(store, collection, new)).hits] == ["a"]
        await put(store, collection, prepared("a", [[0, 1, 0, 0]], metadata={"state": 1.0}))
        await store.submit(DeleteRefs(collection, (DocumentRef("b"),)))
        await check(store, collection, [old, new])
        assert [hit.doc_id for hit in (await searched(store, collection, old)).hits] == ["a"]
        assert (await searched(store, collection, new)).hits == ()

    async def test_what_matches_can_be_removed(self, store: Store, collection: Collection) -> None:
        for place in range(10):
            await put(store, collection, prepared(f"d{place}", metadata={"n": float(place)}))
        found = await store.matches(collection, tree("n < 4"))
        outcome = await store.submit(DeleteMatches(collection, tuple(found)))
        assert outcome == DeleteOutcome(matched=4, deleted=4)
        await check(store, collection, [tree("n >= 0"), tree("n < 4")])

    async def test_a_reader_never_gets_what_its_filter_excludes(
        self, store: Store, collection: Collection
    ) -> None:
        rows = np.random.default_rng(5).normal(size=(40, 4)).astype(np.float32)
        for place, row in enumerate(rows):
            await put(store, collection, prepared(f"d{place}", [row], metadata={"state": float(place % 2)}))
        filters = [tree("state = 0"), tree("state = 1"), tree("NOT state = 0")]
        done = False

        async def write() -> None:
            nonlocal done
            generator = np.random.default_rng(6)
            for _ in range(150):
                place, state = int(generator.integers(40)), float(generator.integers(2))
                await store.submit(PatchMetadata(collection, f"d{place}", {"state": state}))
            done = True

        async def read() -> int:
            reads = 0
            while not done:
                # The memory store answers without a turn of the loop, which the writer needs.
                await asyncio.sleep(0)
                for filter_, state in zip(filters, (0.0, 1.0, 1.0), strict=True):
                    result = await searched(store, collection, filter_)
                    states = [
                        JsonCodec().unpack(hit.packed_metadata or b"{}")["state"] for hit in result.hits
                    ]
                    assert states == [state] * len(states)
                    assert len({hit.doc_id for hit in result.hits}) == result.matching_chunks
                    for document in await listed(store, collection, filter_, limit=7):
                        assert JsonCodec().unpack(document.packed_metadata)["state"] == state
                    reads += 1
            return reads

        _, reads = await asyncio.gather(write(), read())
        assert reads >= 3
        await check(store, collection, filters)

    @pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9])
    async def test_there_are_always_as_many_hits_as_can_be(
        self, store: Store, collection: Collection, share: float
    ) -> None:
        """Also where the filter goes against the query: what passes lies opposite to what is near."""
        generator = np.random.default_rng(7)
        rows = generator.normal(size=(1000, 4)).astype(np.float32)
        near = np.argsort(rows @ np.array([1, 2, 3, 4], np.float32) / np.linalg.norm(rows, axis=1))
        rank = np.empty(len(rows), np.int64)
        rank[near] = np.arange(len(rows))
        writes = [
            PutDocument(collection, prepared(f"d{place}", [row], metadata={"rank": float(rank[place])}))
            for place, row in enumerate(rows)
        ]
        await asyncio.gather(*map(store.submit, writes))
        passing = round(share * 1000)
        away = tree(f"rank < {passing}")
        for k in (1, 10, 100):
            result = await searched(store, collection, away, k=k)
            assert len(result.hits) == min(k, passing)
            assert result.matching_chunks == passing
            wanted = [f"d{place}" for place in near[:passing][::-1][:k]]
            if result.strategy is not SearchStrategy.ANN:
                assert [hit.doc_id for hit in result.hits] == wanted

    def test_random_filters_are_what_the_plain_evaluation_says(self) -> None:
        check_random_filters(self.make_store, durable=self.durable)


operations = st.lists(
    st.tuples(st.sampled_from(["put", "patch", "delete"]), st.integers(0, 9), filter_cases.metadata),
    max_size=12,
)


def check_random_filters(make_store: Callable[[Path], Store], *, durable: bool) -> None:
    @settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(
        documents=st.lists(filter_cases.metadata, min_size=1, max_size=10),
        changes=operations,
        filters=st.lists(filter_cases.filters, min_size=1, max_size=12),
        restart=st.booleans(),
    )
    def play(
        documents: list[MetadataDict],
        changes: list[tuple[str, int, MetadataDict]],
        filters: list[Filter],
        restart: bool,
    ) -> None:
        asyncio.run(_play(make_store, documents, changes, filters, restart=restart and durable))

    play()


async def _play(
    make_store: Callable[[Path], Store],
    documents: list[MetadataDict],
    changes: list[tuple[str, int, MetadataDict]],
    filters: list[Filter],
    *,
    restart: bool,
) -> None:
    path = Path(tempfile.mkdtemp(prefix="store-filters-"))
    store = make_store(path)
    await store.open()
    try:
        collection = await store.create_collection(spec(), "")
        for place, metadata in enumerate(documents):
            await put(store, collection, _document(place, metadata))
        await check(store, collection, filters)
        for what, place, metadata in changes:
            await _change(store, collection, what, place, metadata)
        await check(store, collection, filters)
        if restart:
            await store.close()
            store = make_store(path)
            await store.open()
            await check(store, collection, filters)
    finally:
        await store.close()
        shutil.rmtree(path)


async def _change(
    store: Store, collection: Collection, what: str, place: int, metadata: MetadataDict
) -> None:
    doc_id = filter_cases.TEXTS[place] or "none"
    there = (await store.documents(collection, [doc_id], include_text=False))[0] is not None
    if what == "put":
        await put(store, collection, _document(place, metadata, turn=1))
    elif what == "delete":
        await store.submit(DeleteRefs(collection, (DocumentRef(doc_id),)))
    elif there:
        await store.submit(PatchMetadata(collection, doc_id, metadata, replace=bool(metadata)))


def _document(place: int, metadata: MetadataDict, turn: int = 0) -> PreparedDocument:
    rows = np.random.default_rng([place, turn]).normal(size=(1 + place % 3, 4))
    doc_id = filter_cases.TEXTS[place] or "none"
    return prepared(doc_id, rows, title=filter_cases.TEXTS[-place], metadata=metadata)

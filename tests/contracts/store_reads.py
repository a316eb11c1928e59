"""What every store must do with reads and searches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_grpc.core.errors import CollectionNotFound, DocumentNotFound
from rag_grpc.core.models import (
    Collection,
    DeleteRefs,
    DocumentRef,
    Metric,
    PreparedDocument,
    PutDocument,
    Vector,
)
from rag_grpc.core.ports import ChunkPage, DocumentPage, Store
from rag_grpc.core.searches import (
    AlikeSearches,
    Candidates,
    DenseQuery,
    Found,
    Hit,
    HitParts,
    Search,
    SearchResult,
    SearchStrategy,
    Selected,
)
from rag_grpc.core.selection import DenseSelection
from tests.contracts.fakes import (
    ONLY_PLACES,
    PACKED,
    find,
    find_packed,
    find_places,
    found_ids,
    place_of,
    prepared,
    put,
    select_all,
    spec,
)

# By UTF-8 bytes, which is by code points. UTF-16 units would put U+1F600 before U+FF61, and a locale or
# a case-folding collation would mix the letters.
IN_ORDER = [
    "!",
    "A",
    "Z",
    "a",
    "aa",
    "a\u0301",
    "b",
    "z",
    "\u00e4",
    "\u4e16",
    "\ue000",
    "\uff61",
    "\U0001f600",
]


def oracle(metric: Metric, rows: NDArray[np.float32], query: Vector) -> NDArray[np.float64]:
    """Scores of all rows, the long way."""
    wide, asked = rows.astype(np.float64), query.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        distances: NDArray[np.float64] = ((wide - asked) ** 2).sum(axis=1)
        return -distances
    products: NDArray[np.float64] = wide @ asked
    if metric is Metric.DOT:
        return products
    scores: NDArray[np.float64] = products / np.linalg.norm(wide, axis=1) / np.linalg.norm(asked)
    return scores


async def page_of_documents(
    store: Store,
    collection: Collection,
    after: str | None = None,
    *,
    limit: int = 100,
    include_text: bool = True,
    max_bytes: int = 1_000_000,
) -> DocumentPage:
    return await store.list_documents(
        collection, after=after, limit=limit, include_text=include_text, max_bytes=max_bytes
    )


async def page_of_chunks(
    store: Store,
    collection: Collection,
    doc_id: str,
    *,
    first: int = 0,
    limit: int = 100,
    include_vectors: bool = False,
    max_bytes: int = 1_000_000,
) -> ChunkPage:
    return await store.list_chunks(
        collection, doc_id, first=first, limit=limit, include_vectors=include_vectors, max_bytes=max_bytes
    )


async def random_collection(
    store: Store, metric: Metric, *, documents: int = 150, dimension: int = 16
) -> tuple[Collection, NDArray[np.float32], dict[tuple[str, int], int]]:
    """A collection of documents with two chunks each, its rows, and each chunk's row.

    A third of the documents was replaced and a third deleted, so that not only fresh rows are searched.
    """
    made = await store.create_collection(
        spec(f"random-{metric.value}", metric=metric, dimension=dimension), ""
    )
    rng = np.random.default_rng(7)
    first = rng.normal(size=(documents, 2, dimension)).astype(np.float32)
    second = rng.normal(size=(documents, 2, dimension)).astype(np.float32)
    for version in (first, second[: documents // 3]):
        await asyncio.gather(
            *(
                store.submit(PutDocument(made, prepared(f"d{place}", rows)))
                for place, rows in enumerate(version)
            )
        )
    gone = [DocumentRef(f"d{place}") for place in range(0, documents, 3)]
    await store.submit(DeleteRefs(made, tuple(gone)))
    rows: list[NDArray[np.float32]] = []
    places: dict[tuple[str, int], int] = {}
    for place in range(documents):
        if place % 3:
            current = second[place] if place < documents // 3 else first[place]
            for ordinal in range(2):
                places[f"d{place}", ordinal] = len(rows)
                rows.append(current[ordinal])
    return made, np.stack(rows), places


class ReadContract:
    """documents, list_documents, list_chunks, embedding_key."""

    async def test_documents_come_in_the_order_of_the_question(
        self, store: Store, collection: Collection
    ) -> None:
        for doc_id in ("a", "b", "c"):
            await put(store, collection, prepared(doc_id, text=f"text of {doc_id}"))
        asked = ["c", "missing", "a", "c"]
        found = await store.documents(collection, asked, include_text=True)
        assert [each and (each.doc_id, each.text) for each in found] == [
            ("c", "text of c"),
            None,
            ("a", "text of a"),
            ("c", "text of c"),
        ]
        assert await store.documents(collection, [], include_text=True) == []

    async def test_texts_can_be_left_out(self, store: Store, collection: Collection) -> None:
        await put(store, collection, prepared("a", text="text", title="title", metadata={"n": 1.0}))
        (whole,) = await store.documents(collection, ["a"], include_text=True)
        (bare,) = await store.documents(collection, ["a"], include_text=False)
        assert whole is not None
        assert bare == replace(whole, text="")
        assert (await page_of_documents(store, collection, include_text=False)).documents == (bare,)

    async def test_the_embedding_key_is_the_stored_one(self, store: Store, collection: Collection) -> None:
        assert await store.embedding_key(collection, "a") is None
        await put(store, collection, prepared("a"))
        assert await store.embedding_key(collection, "a") == prepared("a").embedding_key
        await put(store, collection, prepared("a", [0, 1, 0, 0]))
        assert await store.embedding_key(collection, "a") == prepared("a", [0, 1, 0, 0]).embedding_key

    @pytest.mark.parametrize("limit", [1, 2, 5, 100])
    async def test_documents_are_listed_by_utf8_bytes(
        self, store: Store, collection: Collection, limit: int
    ) -> None:
        assert sorted(IN_ORDER, key=lambda each: each.encode()) == IN_ORDER
        for doc_id in reversed(IN_ORDER):
            await put(store, collection, prepared(doc_id))
        listed: list[str] = []
        after: str | None = None
        more = True
        while more:
            page = await page_of_documents(store, collection, after, limit=limit)
            assert 0 < len(page.documents) <= limit
            listed += [each.doc_id for each in page.documents]
            after, more = listed[-1], page.more
        assert listed == IN_ORDER

    async def test_a_page_begins_behind_an_id_that_is_not_there(
        self, store: Store, collection: Collection
    ) -> None:
        for doc_id in ("a", "c"):
            await put(store, collection, prepared(doc_id))
        page = await page_of_documents(store, collection, "b")
        assert ([each.doc_id for each in page.documents], page.more) == (["c"], False)
        page = await page_of_documents(store, collection, "c")
        assert (page.documents, page.more) == ((), False)

    async def test_an_empty_collection_has_an_empty_page(self, store: Store, collection: Collection) -> None:
        assert await page_of_documents(store, collection) == DocumentPage((), more=False)

    async def test_what_stays_is_listed_exactly_once_whatever_is_written(
        self, store: Store, collection: Collection
    ) -> None:
        for place in range(20):
            await put(store, collection, prepared(f"stay{place:02}"))
        listed: list[str] = []
        after: str | None = None
        more = True
        while more:
            page = await page_of_documents(store, collection, after, limit=3)
            listed += [each.doc_id for each in page.documents]
            after, more = listed[-1], page.more
            step = len(listed)
            await put(store, collection, prepared(f"stay{step % 20:02}", [0, step, 1, 0]))
            await put(store, collection, prepared(f"s{step}"))
            await put(store, collection, prepared(f"z{step}"))
            await store.submit(DeleteRefs(collection, (DocumentRef(f"z{step - 3}"),)))
        assert [each for each in listed if each.startswith("stay")] == [f"stay{n:02}" for n in range(20)]

    async def test_a_page_of_documents_ends_early_where_it_grows_too_large(
        self, store: Store, collection: Collection
    ) -> None:
        for doc_id in ("a", "b", "c"):
            await put(store, collection, prepared(doc_id, text="ä" * 500))
        page = await page_of_documents(store, collection, max_bytes=2500)
        assert ([each.doc_id for each in page.documents], page.more) == (["a", "b"], True)
        page = await page_of_documents(store, collection, "b", max_bytes=2500)
        assert ([each.doc_id for each in page.documents], page.more) == (["c"], False)
        page = await page_of_documents(store, collection, max_bytes=10)
        assert ([each.doc_id for each in page.documents], page.more) == (["a"], True)
        page = await page_of_documents(store, collection, max_bytes=2500, include_text=False)
        assert len(page.documents) == 3

    async def test_metadata_and_titles_count_for_the_size_of_a_page(
        self, store: Store, collection: Collection
    ) -> None:
        for doc_id in ("a", "b", "c"):
            await put(store, collection, prepared(doc_id, title="t" * 400, metadata={"m": "x" * 600}))
        page = await page_of_documents(store, collection, max_bytes=2500, include_text=False)
        assert ([each.doc_id for each in page.documents], page.more) == (["a", "b"], True)

    async def test_chunks_are_listed_by_ordinal(self, store: Store, collection: Collection) -> None:
        revision = (await put(store, collection, prepared("a", np.eye(4, dtype=np.float32)))).revision
        whole = await page_of_chunks(store, collection, "a", include_vectors=True)
        assert [each.ordinal for each in whole.chunks] == [0, 1, 2, 3]
        assert (whole.revision, whole.more) == (revision, False)
        vectors = [each.vector for each in whole.chunks if each.vector is not None]
        np.testing.assert_array_equal(np.stack(vectors), np.eye(4))
        part = await page_of_chunks(store, collection, "a", first=1, limit=2)
        assert ([each.ordinal for each in part.chunks], part.more) == ([1, 2], True)
        assert all(each.vector is None for each in part.chunks)
        rest = await page_of_chunks(store, collection, "a", first=3, limit=2)
        assert ([each.ordinal for each in rest.chunks], rest.more) == ([3], False)
        beyond = await page_of_chunks(store, collection, "a", first=4, limit=2)
        assert (beyond.chunks, beyond.more, beyond.revision) == ((), False, revision)

    async def test_a_page_of_chunks_ends_early_where_it_grows_too_large(
        self, store: Store, collection: Collection
    ) -> None:
        document = prepared("a", np.eye(4, dtype=np.float32), texts=["ä" * 500] * 4)
        await put(store, collection, document)
        page = await page_of_chunks(store, collection, "a", max_bytes=2500)
        assert ([each.ordinal for each in page.chunks], page.more) == ([0, 1], True)
        page = await page_of_chunks(store, collection, "a", first=2, max_bytes=10)
        assert ([each.ordinal for each in page.chunks], page.more) == ([2], True)

    async def test_vectors_count_for_the_size_of_a_page_of_chunks(self, store: Store) -> None:
        wide = await store.create_collection(spec("wide", dimension=500), "")
        await put(store, wide, prepared("a", np.ones((4, 500), np.float32)))
        page = await page_of_chunks(store, wide, "a", include_vectors=True, max_bytes=4500)
        assert ([each.ordinal for each in page.chunks], page.more) == ([0, 1], True)
        page = await page_of_chunks(store, wide, "a", max_bytes=4500)
        assert len(page.chunks) == 4

    async def test_chunks_of_a_missing_document_are_not_found(
        self, store: Store, collection: Collection
    ) -> None:
        with pytest.raises(DocumentNotFound):
            await page_of_chunks(store, collection, "a")


class SearchContract:
    """search."""

    @pytest.mark.parametrize("metric", list(Metric))
    @pytest.mark.parametrize("wanted", [1, 10, 1000])
    async def test_an_exact_search_finds_the_best_with_their_scores(
        self, store: Store, metric: Metric, wanted: int
    ) -> None:
        made, rows, places = await random_collection(store, metric)
        for query in np.random.default_rng(3).normal(size=(5, 16)).astype(np.float32):
            result = await find(store, made, query, candidates=wanted, exact=True)
            assert result.strategy is SearchStrategy.EXACT
            truth = oracle(metric, rows, query)
            scores = [hit.score for hit in result.hits]
            np.testing.assert_allclose(
                scores, np.sort(truth)[::-1][:wanted], rtol=1e-5, atol=1e-5 * np.abs(truth).max()
            )
            own = [truth[places[hit.doc_id, hit.chunk.ordinal]] for hit in result.hits]
            np.testing.assert_allclose(scores, own, rtol=1e-5, atol=1e-5 * np.abs(truth).max())
            assert len({(hit.doc_id, hit.chunk.ordinal) for hit in result.hits}) == len(scores)

    @pytest.mark.parametrize("metric", list(Metric))
    async def test_a_search_with_defaults_misses_little(self, store: Store, metric: Metric) -> None:
        made, rows, _ = await random_collection(store, metric)
        found = wanted = 0
        for query in np.random.default_rng(4).normal(size=(20, 16)).astype(np.float32):
            result = await find(store, made, query, candidates=10)
            truth = oracle(metric, rows, query)
            bound = np.sort(truth)[-10] - 1e-5 * np.abs(truth).max()
            found += sum(hit.score >= bound for hit in result.hits)
            wanted += 10
        assert found >= 0.97 * wanted

    async def test_lengths_do_not_matter_to_cosine(self, store: Store, collection: Collection) -> None:
        for doc_id, scale in (("tiny", 1e-25), ("one", 1.0), ("huge", 1e25)):
            await put(store, collection, prepared(doc_id, np.array([3, 4, 0, 0]) * scale))
        for scale in (1e-25, 1.0, 1e25):
            result = await find(store, collection, np.array([3, 4, 0, 0]) * scale)
            np.testing.assert_allclose([hit.score for hit in result.hits], [1, 1, 1], rtol=1e-6)

    @pytest.mark.parametrize("metric", [Metric.DOT, Metric.EUCLIDEAN])
    async def test_the_largest_vectors_that_are_taken_keep_finite_scores(
        self, store: Store, metric: Metric
    ) -> None:
        made = await store.create_collection(spec("large", metric=metric), "")
        for doc_id, value in (("a", 1e18), ("b", -1e18)):
            await put(store, made, prepared(doc_id, [value, 0, 0, 0]))
        result = await find(store, made, [1e18, 0, 0, 0])
        assert [hit.doc_id for hit in result.hits] == ["a", "b"]
        assert np.isfinite([hit.score for hit in result.hits]).all()

    async def test_small_euclidean_distances_are_not_lost(self, store: Store) -> None:
        made = await store.create_collection(spec("near", metric=Metric.EUCLIDEAN), "")
        for place in range(4):
            await put(store, made, prepared(f"d{place}", [1000, 1000, 1000, 1000 + place / 16]))
        result = await find(store, made, [1000, 1000, 1000, 1000], exact=True)
        assert [(hit.doc_id, hit.score) for hit in result.hits] == [
            (f"d{place}", -((place / 16) ** 2)) for place in range(4)
        ]

    async def test_candidates_stand_by_score_and_ties_by_chunk_id(
        self, store: Store, collection: Collection
    ) -> None:
        for place in range(12):
            await put(store, collection, prepared(f"d{place}", [[1, 0, 0, 0], [0, 1, 0, 0]]))
        seen: list[Candidates] = []

        def select(found: Found) -> Sequence[Selected]:
            assert found.dense is not None
            seen.append(found.dense)
            return select_all(found)

        vector = np.array([1, 0, 0, 0], np.float32)
        for exact in (True, False):
            for wanted in (5, 12, 20, 100):
                await store.search([Search(collection, wanted, select, DenseQuery(vector, exact=exact))])
        for candidates, wanted in zip(seen, [5, 12, 20, 100] * 2, strict=True):
            assert len(candidates.chunks) == min(wanted, 24)
            assert candidates.chunks.dtype == np.int64
            assert candidates.documents.dtype == np.int64
            assert candidates.scores.dtype == np.float32
            pairs = list(zip((-candidates.scores).tolist(), candidates.chunks.tolist(), strict=True))
            assert pairs == sorted(pairs)
        exact_five, exact_all = seen[0], seen[3]
        np.testing.assert_array_equal(exact_five.chunks, exact_all.chunks[:5])
        assert len(set(exact_all.chunks.tolist())) == 24
        __, per_document = np.unique(exact_all.documents, return_counts=True)
        assert per_document.tolist() == [2] * 12

    async def test_more_candidates_than_there_are(self, store: Store, collection: Collection) -> None:
        for doc_id in ("a", "b"):
            await put(store, collection, prepared(doc_id))
        await store.submit(DeleteRefs(collection, (DocumentRef("a"),)))
        for exact in (True, False):
            result = await find(store, collection, [1, 0, 0, 0], candidates=1000, exact=exact)
            assert [hit.doc_id for hit in result.hits] == ["b"]

    async def test_an_empty_collection_has_no_hits(self, store: Store, collection: Collection) -> None:
        for exact in (True, False):
            assert (await find(store, collection, [1, 0, 0, 0], exact=exact)).hits == ()
        await put(store, collection, prepared("a"))
        await store.submit(DeleteRefs(collection, (DocumentRef("a"),)))
        for exact in (True, False):
            assert (await find(store, collection, [1, 0, 0, 0], exact=exact)).hits == ()

    async def test_hits_stand_as_they_were_selected(self, store: Store, collection: Collection) -> None:
        for place in range(4):
            await put(store, collection, prepared(f"d{place}", [1, place, 0, 0]))

        def select(found: Found) -> Sequence[Selected]:
            backwards = select_all(found)[::-1]
            return [each._replace(score=float(rank), dense=None) for rank, each in enumerate(backwards[:3])]

        search = Search(collection, 10, select, DenseQuery(np.array([1, 0, 0, 0], np.float32)))
        (result,) = await store.search([search])
        assert isinstance(result, SearchResult)
        assert [(hit.doc_id, hit.score, hit.dense, hit.dense_rank) for hit in result.hits] == [
            ("d3", 0.0, None, 4),
            ("d2", 1.0, None, 3),
            ("d1", 2.0, None, 2),
        ]

    async def test_a_hit_brings_the_chunk_and_its_document(
        self, store: Store, collection: Collection
    ) -> None:
        document = prepared("a", [[1, 2, 3, 4], [4, 3, 2, 1]], title="Title", metadata={"n": 1.0})
        await put(store, collection, document)
        result = await find(store, collection, [4, 3, 2, 1], parts=HitParts(vectors=True))
        best = result.hits[0]
        assert (best.doc_id, best.title, best.packed_metadata) == ("a", "Title", document.packed_metadata)
        assert (best.chunk.ordinal, best.chunk.text) == (1, "a, part 1")
        assert (best.chunk.start, best.chunk.end, best.chunk.headings) == (10, 15, ("Top", "Part 1"))
        assert best.chunk.vector is not None
        assert best.chunk.vector.dtype == np.float32
        np.testing.assert_array_equal(best.chunk.vector, [4, 3, 2, 1])
        assert best.dense == best.score
        assert best.dense_rank == 1
        assert {"dense", "fetch"} <= set(result.stages)
        assert all(seconds >= 0 for seconds in result.stages.values())

    async def test_parts_that_were_not_asked_for_are_empty(
        self, store: Store, collection: Collection
    ) -> None:
        await put(store, collection, prepared("a", title="Title", metadata={"n": 1.0}))
        parts = HitParts(text=False, title=False, metadata=False, vectors=False)
        (hit,) = (await find(store, collection, [1, 0, 0, 0], parts=parts)).hits
        assert (hit.chunk.text, hit.title, hit.packed_metadata, hit.chunk.vector) == ("", "", None, None)
        (hit,) = (await find(store, collection, [1, 0, 0, 0], parts=replace(parts, title=True))).hits
        assert (hit.chunk.text, hit.title, hit.packed_metadata) == ("", "Title", None)

    async def test_hits_for_whom_their_places_are_enough_are_the_same_hits(self, store: Store) -> None:
        made, _, _ = await random_collection(store, Metric.COSINE)
        queries = np.random.default_rng(17).normal(size=(20, 16)).astype(np.float32)
        selections = [
            DenseSelection(10),
            DenseSelection(3, offset=4),
            DenseSelection(10, min_score=0.3),
            DenseSelection(10, offset=9_999),
        ]

        def searches(parts: HitParts) -> list[Search]:
            # Exact ones: a graph that is still growing may answer otherwise a moment later.
            return [
                Search(made, select.offset + select.top_k, select, DenseQuery(row, exact=True), parts=parts)
                for row in queries
                for select in selections
            ]

        whole = [
            [place_of(hit) for hit in each.hits]
            for each in await store.search(searches(HitParts(vectors=True)))
            if isinstance(each, SearchResult)
        ]
        assert len(whole) == len(searches(ONLY_PLACES))
        for parts in (ONLY_PLACES, ONLY_PLACES, PACKED):
            found = await store.search(searches(parts))
            for each, expected in zip(found, whole, strict=True):
                assert isinstance(each, SearchResult)
                assert [place_of(hit)._replace(score=0, dense=0) for hit in each.hits] == [
                    hit._replace(score=0, dense=0) for hit in expected
                ]
                scores = [hit.score for hit in each.hits]
                assert scores == pytest.approx([hit.score for hit in expected], abs=1e-6)
                assert scores == [hit.dense for hit in each.hits]

    async def test_alike_searches_are_answered_as_each_would_be(self, store: Store) -> None:
        made, _, _ = await random_collection(store, Metric.DOT)
        queries = np.random.default_rng(19).normal(size=(150, 16)).astype(np.float32)
        for parts in (ONLY_PLACES, HitParts(), PACKED):
            first = Search(made, 5, DenseSelection(5), DenseQuery(queries[0], exact=True), parts=parts)
            alike = AlikeSearches(first, queries)
            together = await store.search(alike)
            alone = await store.search(list(alike))
            assert len(together) == len(queries)
            for one, other in zip(together, alone, strict=True):
                assert isinstance(one, SearchResult)
                assert isinstance(other, SearchResult)
                assert [(hit.doc_id, hit.chunk) for hit in one.hits] == [
                    (hit.doc_id, hit.chunk) for hit in other.hits
                ]
        gone = await store.create_collection(spec("gone"), "")
        await store.delete_collection(gone)
        lost = AlikeSearches(first._replace(collection=gone), np.eye(4, dtype=np.float32))
        assert all(isinstance(each, CollectionNotFound) for each in await store.search(lost))

    async def test_searches_of_one_call_are_answered_each_by_itself(
        self, store: Store, collection: Collection
    ) -> None:
        other = await store.create_collection(spec("other", dimension=2, metric=Metric.DOT), "")
        gone = await store.create_collection(spec("gone"), "")
        await store.delete_collection(gone)
        await put(store, collection, prepared("a", [1, 0, 0, 0]))
        await put(store, collection, prepared("b", [0, 1, 0, 0]))
        await put(store, other, prepared("c", [2, 2]))

        def search(where: Collection, *values: float) -> Search:
            return Search(where, 1, select_all, DenseQuery(np.array(values, np.float32)))

        results = await store.search(
            [
                search(collection, 0, 1, 0, 0),
                search(gone, 1, 0, 0, 0),
                search(other, 1, 1),
                search(collection, 1, 0, 0, 0),
            ]
        )
        assert isinstance(results[1], CollectionNotFound)
        hits = [each.hits[0] for each in results if isinstance(each, SearchResult)]
        assert [(hit.doc_id, hit.score) for hit in hits] == [("b", 1.0), ("c", 4.0), ("a", 1.0)]
        assert await store.search([]) == []

    async def test_many_searches_at_once_have_their_own_answers(
        self, store: Store, collection: Collection
    ) -> None:
        rows = np.random.default_rng(5).normal(size=(100, 4)).astype(np.float32)
        await asyncio.gather(
            *(store.submit(PutDocument(collection, prepared(f"d{n}", row))) for n, row in enumerate(rows))
        )
        results = await asyncio.gather(
            *(find(store, collection, row, candidates=1, exact=n % 5 == 0) for n, row in enumerate(rows))
        )
        assert [each.hits[0].doc_id for each in results] == [f"d{n}" for n in range(100)]


class ConsistencyContract:
    """No search or read sees a part of a write."""

    rounds = 200
    """How often a document is replaced while readers look."""

    async def test_a_reader_sees_exactly_one_version_whole(
        self, store: Store, collection: Collection
    ) -> None:
        writing = True
        looks = 0
        last_seen = [-1, -1, -1]

        async def write() -> None:
            nonlocal writing
            for version in range(self.rounds):
                await put(store, collection, version_of_document(version))
            writing = False

        async def search(reader: int) -> None:
            nonlocal looks
            while writing:
                exact = reader == 0
                if exact:
                    whole = HitParts(vectors=True)
                    result = await find(store, collection, [1, 1, 1, 1], exact=True, parts=whole)
                    hits = list(result.hits)
                else:
                    hits = await find_packed(store, collection, [1, 1, 1, 1], parts=PACKED)
                if hits or last_seen[reader] >= 0:
                    last_seen[reader] = max(last_seen[reader], check_one_version(hits))
                    looks += 1
                await asyncio.sleep(0)

        async def read() -> None:
            nonlocal looks
            while writing:
                (document,) = await store.documents(collection, ["a"], include_text=True)
                if document is not None:
                    version = int(document.text)
                    assert document.title == f"title {version}"
                    assert document.chunk_count == version % 3 + 1
                    assert version >= last_seen[2]
                    last_seen[2] = version
                    looks += 1
                await asyncio.sleep(0)

        await asyncio.gather(write(), search(0), search(1), read())
        assert looks > 0
        assert check_one_version((await find(store, collection, [1, 1, 1, 1])).hits) == self.rounds - 1

    async def test_a_reader_finds_what_stays_while_others_come_and_go(
        self, store: Store, collection: Collection
    ) -> None:
        stay = [f"stay{place}" for place in range(5)]
        for doc_id in stay:
            await put(store, collection, prepared(doc_id, [1, 0, 0, 0]))
        writing = True

        async def write() -> None:
            nonlocal writing
            for place in range(self.rounds):
                await put(store, collection, prepared(f"come{place}", [1, place, 0, 1]))
                if place >= 5:
                    await store.submit(DeleteRefs(collection, (DocumentRef(f"come{place - 5}"),)))
            writing = False

        async def search(*, places: bool) -> None:
            while writing:
                if places:
                    hits = await find_places(store, collection, [1, 1, 1, 1])
                    found = sorted({hit.doc_id for hit in hits})
                else:
                    found = await found_ids(store, collection)
                assert set(stay) <= set(found)
                assert len(found) <= 5 + 6
                await asyncio.sleep(0)

        await asyncio.gather(write(), search(places=False), search(places=True))


def version_of_document(version: int) -> PreparedDocument:
    """Version n of "a": n % 3 + 1 chunks, all of whose parts name it."""
    rows = [[version + 1, ordinal, 1, 1] for ordinal in range(version % 3 + 1)]
    return prepared(
        "a",
        rows,
        text=str(version),
        title=f"title {version}",
        metadata={"version": float(version)},
        texts=[f"version {version}, part {ordinal}" for ordinal in range(len(rows))],
    )


def check_one_version(hits: Sequence[Hit]) -> int:
    """Check that the hits are all chunks of one version, and say of which."""
    versions = {hit.title.removeprefix("title ") for hit in hits}
    assert len(versions) == 1, versions
    version = int(versions.pop())
    assert sorted(hit.chunk.text for hit in hits) == [
        f"version {version}, part {ordinal}" for ordinal in range(version % 3 + 1)
    ]
    assert {hit.packed_metadata for hit in hits} == {b'{"version": %d.0}' % version}
    for hit in hits:
        if hit.chunk.vector is not None:
            np.testing.assert_array_equal(hit.chunk.vector, [version + 1, hit.chunk.ordinal, 1, 1])
    return version

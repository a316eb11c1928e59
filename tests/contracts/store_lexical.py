"""Words in every store: what is found by them, when, and with which score: BM25, taken the long way."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from math import log
from pathlib import Path

import numpy as np
import pytest

from rag_grpc.core.filter_language import parse
from rag_grpc.core.models import (
    Chunking,
    Collection,
    DeleteRefs,
    DocumentRef,
    PatchMetadata,
    PreparedDocument,
    PutDocument,
)
from rag_grpc.core.ports import Store
from rag_grpc.core.searches import (
    Candidates,
    DenseQuery,
    Found,
    LexicalQuery,
    Search,
    SearchResult,
    SearchStrategy,
    Selected,
    WordCounts,
)
from tests.contracts.fakes import prepared, put, spec


def select_words(found: Found) -> list[Selected]:
    """Every candidate of the lexical side, in its order."""
    candidates = found.lexical
    assert candidates is not None
    return [
        Selected(chunk, document, score, lexical=score, lexical_rank=rank)
        for rank, (chunk, document, score) in enumerate(
            zip(
                candidates.chunks.tolist(),
                candidates.documents.tolist(),
                candidates.scores.tolist(),
                strict=True,
            ),
            start=1,
        )
    ]


async def find_words(
    store: Store, collection: Collection, text: str, *, candidates: int = 100, passing: str = ""
) -> SearchResult:
    """Search for words alone, for every candidate."""
    filter_ = parse(passing) if passing else None
    search = Search(collection, candidates, select_words, lexical=LexicalQuery(text), filter=filter_)
    (result,) = await store.search([search])
    assert isinstance(result, SearchResult), result
    return result


async def found_by(store: Store, collection: Collection, text: str, *, candidates: int = 100) -> list[str]:
    """The ids of the documents that have a word in common with `text`, best first."""
    return [hit.doc_id for hit in (await find_words(store, collection, text, candidates=candidates)).hits]


def written(doc_id: str, *texts: str, title: str = "", **more: float) -> PreparedDocument:
    """A document of chunks with these texts."""
    rows = np.random.default_rng(len(doc_id)).normal(size=(len(texts), 4))
    return prepared(doc_id, rows, texts=texts, title=title, metadata=dict(more))


def bm25(texts: Sequence[Counter[str]], query: Sequence[str]) -> list[float]:
    """Scores of all texts, the long way: Robertson and Zaragoza (2009), k1 1.2, b 0.75."""
    lengths = [text.total() for text in texts]
    mean = sum(lengths) / len(texts)
    having = {term: sum(term in each for each in texts) for term in query}
    scores = [0.0] * len(texts)
    for term in query:
        rarity = log(1 + (len(texts) - having[term] + 0.5) / (having[term] + 0.5))
        for place, (counts, words) in enumerate(zip(texts, lengths, strict=True)):
            length = 0.25 + 0.75 * one_byte(words) / mean
            scores[place] += rarity * 2.2 * counts[term] / (counts[term] + 1.2 * length)
    return scores


def one_byte(length: int) -> int:
    """The length that stands for this one where it has to fit a byte: 24, and four bits of the rest."""
    shift = max(0, (length - 24).bit_length() - 4) if length > 24 else 0
    return length if not shift else 24 + ((length - 24) >> shift << shift)


class LexicalContract:
    """What every store must do with words. Chunks are indexed with title and headings, "Top" and "Part n"."""

    async def test_words_are_found_as_soon_as_the_write_is_answered(
        self, store: Store, collection: Collection
    ) -> None:
        for place in range(30):
            await put(store, collection, written(f"d{place}", f"number word{place}"))
            assert await found_by(store, collection, f"word{place}") == [f"d{place}"]
            assert len(await found_by(store, collection, "number")) == place + 1

    async def test_title_and_headings_are_words_too(self, store: Store, collection: Collection) -> None:
        await put(store, collection, written("a", "one text", "another text", title="Whales"))
        result = await find_words(store, collection, "whales")
        assert [(hit.doc_id, hit.chunk.ordinal) for hit in result.hits] == [("a", 0), ("a", 1)]
        assert (await find_words(store, collection, "part 1")).hits[0].chunk.ordinal == 1

    async def test_without_context_only_the_text_counts(self, store: Store) -> None:
        bare = await store.create_collection(spec("bare", chunking=Chunking(without_context=True)), "")
        await put(store, bare, written("a", "one text", title="Whales"))
        assert await found_by(store, bare, "whales top") == []
        assert await found_by(store, bare, "text") == ["a"]

    async def test_what_is_replaced_or_deleted_is_not_found(
        self, store: Store, collection: Collection
    ) -> None:
        await put(store, collection, written("a", "lion"))
        await put(store, collection, written("b", "lion"))
        await put(store, collection, written("a", "tiger"))
        assert await found_by(store, collection, "lion") == ["b"]
        assert await found_by(store, collection, "tiger") == ["a"]
        await store.submit(DeleteRefs(collection, (DocumentRef("b"),)))
        assert await found_by(store, collection, "lion") == []

    async def test_writes_that_wait_together_are_all_taken_in(
        self, store: Store, collection: Collection
    ) -> None:
        futures = [
            store.submit(PutDocument(collection, written("a", f"version{number} of it")))
            for number in range(300)
        ]
        last = store.submit(DeleteRefs(collection, (DocumentRef("gone"),)))
        await asyncio.gather(*futures, last)
        assert await found_by(store, collection, "version") == []
        assert await found_by(store, collection, "version299") == ["a"]
        assert len(await found_by(store, collection, "of it")) == 1

    async def test_a_change_of_metadata_changes_no_words(self, store: Store, collection: Collection) -> None:
        await put(store, collection, written("a", "lion"))
        await store.submit(PatchMetadata(collection, "a", {"n": 1.0}))
        (hit,) = (await find_words(store, collection, "lion")).hits
        assert hit.packed_metadata is not None
        assert b"1.0" in hit.packed_metadata

    async def test_collections_do_not_see_each_other_s_words(
        self, store: Store, collection: Collection
    ) -> None:
        other = await store.create_collection(spec("other"), "")
        await asyncio.gather(
            put(store, collection, written("a", "lion")), put(store, other, written("b", "lion"))
        )
        assert await found_by(store, collection, "lion") == ["a"]
        assert await found_by(store, other, "lion") == ["b"]

    async def test_words_are_counted_by_the_chunks_that_have_them(
        self, store: Store, collection: Collection
    ) -> None:
        assert await store.word_counts(collection, ["lion"]) == WordCounts(0, {"lion": 0})
        await put(store, collection, written("a", "lion lion zebra", "lion", "gnu"))
        await put(store, collection, written("b", "lion"))
        await found_by(store, collection, "lion")
        counts = await store.word_counts(collection, ["lion", "zebra", "okapi", "\0", "x" * 9000])
        assert counts == WordCounts(4, {"lion": 3, "zebra": 1, "okapi": 0, "\0": 0, "x" * 9000: 0})

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "   ",
            "!?*",
            "\0",
            "AND",
            "a:b",
            '"',
            "(((",
            "-lion",
            "lion*",
            "[a TO b]",
            "\ud800",
            "x" * 9000,
        ],
    )
    async def test_no_text_is_an_error_or_means_more_than_its_words(
        self, store: Store, collection: Collection, text: str
    ) -> None:
        await put(store, collection, written("a", "lion"))
        await put(store, collection, written("b", "zebra"))
        assert await found_by(store, collection, text) == (["a"] if "lion" in text else [])

    async def test_scores_are_bm25_and_ties_stand_in_order_of_chunks(
        self, store: Store, collection: Collection
    ) -> None:
        random_ = random.Random(7)
        vocabulary = [f"w{number}" for number in range(60)]
        # To where a byte no longer tells lengths apart, and far beyond.
        lengths = [random_.choice((30, 60, 600)) for _ in range(200)]
        bodies = [random_.choices(vocabulary, range(60, 0, -1), k=random_.randint(1, n)) for n in lengths]
        for place, body in enumerate(bodies):
            store.submit(PutDocument(collection, written(f"d{place:03}", " ".join(body))))
        await put(store, collection, written("last", "other"))
        # What a chunk stands under: see `prepared`.
        texts = [Counter([*body, "top", "part", "0"]) for body in [*bodies, ["other"]]]
        for _ in range(1000):
            query = random_.choices(vocabulary, k=random_.randint(1, 6))
            expected = [(place, score) for place, score in enumerate(bm25(texts, query)) if score]
            hits = (await find_words(store, collection, " ".join(query), candidates=300)).hits
            assert {hit.doc_id for hit in hits} == {f"d{place:03}" for place, _ in expected}
            by_id = {f"d{place:03}": score for place, score in expected}
            scores = np.array([hit.score for hit in hits])
            # All at once: a hundred thousand of pytest's approximations take five seconds.
            assert np.allclose(scores, [by_id[hit.doc_id] for hit in hits], rtol=0, atol=1e-5)
            assert [hit.lexical for hit in hits] == scores.tolist()
            assert [(-hit.score, hit.doc_id) for hit in hits] == sorted(
                (-hit.score, hit.doc_id) for hit in hits
            )

    async def test_ties_at_the_end_of_the_list_are_cut_by_chunk(
        self, store: Store, collection: Collection
    ) -> None:
        for place in range(100):
            store.submit(PutDocument(collection, written(f"d{place:02}", "the same lion")))
        await put(store, collection, written("zz", "zebra"))
        assert await found_by(store, collection, "lion", candidates=10) == [
            f"d{place:02}" for place in range(10)
        ]

    async def test_as_many_as_pass_are_found_whatever_the_filter(
        self, store: Store, collection: Collection
    ) -> None:
        for place in range(300):
            text = "lion lion" if place % 2 else "lion zebra"
            store.submit(PutDocument(collection, written(f"d{place:03}", text, n=float(place))))
        await put(store, collection, written("zz", "zebra", n=1000.0))
        for passing, count in (("n < 3", 3), ("n >= 0", 300), ("n > 1000", 0), ("n < 40", 40)):
            result = await find_words(store, collection, "lion", candidates=50, passing=passing)
            assert len(result.hits) == min(50, count)
            assert result.matching_chunks == count + (passing == "n >= 0")

    async def test_a_search_for_both_brings_both_sides(self, store: Store, collection: Collection) -> None:
        await put(store, collection, prepared("near", [[1, 0, 0, 0]], texts=["zebra"]))
        await put(store, collection, prepared("far", [[0, 1, 0, 0]], texts=["lion"]))
        seen: list[tuple[Candidates | None, Candidates | None]] = []

        def select(found: Found) -> list[Selected]:
            seen.append((found.dense, found.lexical))
            return []

        vector = np.array([1, 0, 0, 0], dtype=np.float32)
        search = Search(collection, 10, select, DenseQuery(vector), LexicalQuery("lion"))
        (result,) = await store.search([search])
        assert isinstance(result, SearchResult)
        ((dense, lexical),) = seen
        assert dense is not None
        assert lexical is not None
        assert (len(dense.chunks), len(lexical.chunks)) == (2, 1)
        assert lexical.documents[0] == dense.documents[1]
        assert {"dense", "lexical"} <= result.stages.keys()
        assert result.strategy is not SearchStrategy.LEXICAL
        assert (await find_words(store, collection, "lion")).strategy is SearchStrategy.LEXICAL

    async def test_a_reader_sees_one_version_by_its_words(self, store: Store, collection: Collection) -> None:
        await put(store, collection, written("a", "lion version0"))
        done = asyncio.Event()

        async def write() -> None:
            for number in range(1, 60):
                await put(store, collection, written("a", f"lion version{number}"))
            done.set()

        async def read() -> None:
            while not done.is_set():
                hits = (await find_words(store, collection, "lion version")).hits
                assert len(hits) == 1
                await asyncio.sleep(0)

        await asyncio.gather(write(), read(), read())


class DurableLexicalContract:
    """What a store must do with words that keeps what it is given."""

    def make_store(self, path: Path) -> Store:
        raise NotImplementedError

    async def test_words_are_found_after_a_restart(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        await store.open()
        made = await store.create_collection(spec(), "")
        for place in range(20):
            await put(store, made, written(f"d{place}", f"lion word{place}"))
        await put(store, made, written("d3", "zebra"))
        await store.submit(DeleteRefs(made, (DocumentRef("d4"),)))
        before = [(hit.doc_id, hit.score) for hit in (await find_words(store, made, "lion zebra word7")).hits]
        await store.close()
        store = self.make_store(tmp_path)
        await store.open()
        try:
            after = [
                (hit.doc_id, hit.score) for hit in (await find_words(store, made, "lion zebra word7")).hits
            ]
            assert after == before
            await put(store, made, written("late", "lion"))
            assert "late" in await found_by(store, made, "lion")
        finally:
            await store.close()

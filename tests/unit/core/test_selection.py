"""Cutting candidates to hits."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag_grpc.core.searches import Candidates, Found, Selected
from rag_grpc.core.selection import Choice, DenseSelection, Selection

CANDIDATES = Candidates(
    chunks=np.array([7, 3, 5, 9], np.int64),
    documents=np.array([1, 2, 1, 3], np.int64),
    scores=np.array([0.75, 0.5, 0.5, -0.25], np.float32),
)


def no_vectors(chunks: NDArray[np.int64]) -> NDArray[np.float32]:
    """Nearness alone asks for no vectors."""
    raise AssertionError(chunks)


FOUND = Found(CANDIDATES, None, no_vectors)


def test_the_best_are_kept_in_order_with_their_ranks() -> None:
    selected = DenseSelection(top_k=2)(FOUND)
    assert [(each.chunk, each.document, each.score) for each in selected] == [(7, 1, 0.75), (3, 2, 0.5)]
    assert [(each.dense, each.dense_rank) for each in selected] == [(0.75, 1), (0.5, 2)]
    assert type(selected[0].score) is float


def test_pages_are_what_one_large_answer_would_have_been() -> None:
    whole = list(DenseSelection(top_k=4)(FOUND))
    pages = [each for offset in (0, 3) for each in DenseSelection(top_k=3, offset=offset)(FOUND)]
    assert pages == whole
    assert list(DenseSelection(top_k=3, offset=4)(FOUND)) == []


def test_what_scores_lower_than_the_bound_is_left_out() -> None:
    assert [each.chunk for each in DenseSelection(top_k=4, min_score=0.5)(FOUND)] == [7, 3, 5]
    assert [each.chunk for each in DenseSelection(top_k=4, min_score=-1.0)(FOUND)] == [7, 3, 5, 9]
    assert [each.chunk for each in DenseSelection(top_k=1, offset=1, min_score=0.5)(FOUND)] == [3]


@given(st.integers(1, 5), st.integers(0, 5), st.none() | st.sampled_from([-1.0, -0.25, 0.5, 0.7, 2.0]))
def test_what_is_cut_is_what_is_selected(top_k: int, offset: int, min_score: float | None) -> None:
    selection = DenseSelection(top_k, offset, min_score)
    chunks, scores = selection.cut(CANDIDATES)
    selected = selection(FOUND)
    assert chunks.tolist() == [each.chunk for each in selected]
    assert scores.tolist() == [each.score for each in selected]
    documents = dict(zip(CANDIDATES.chunks.tolist(), CANDIDATES.documents.tolist(), strict=True))
    assert [each.document for each in selected] == [documents[each.chunk] for each in selected]
    assert [each.dense_rank for each in selected] == [offset + 1 + place for place in range(len(selected))]


def test_no_candidates_no_hits() -> None:
    empty = Candidates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    assert list(DenseSelection(top_k=3)(Found(empty, None, no_vectors))) == []


# ---------------------------------------------------------------------------- the ladder


class Corpus:
    """Chunks with a dense and a lexical score, searched by plain sorting; graphs that miss some are played.

    A search of depth 4 misses up to `misses` of the chunks, a deeper one fewer, as it is with a graph. It
    finds as many as it is asked for all the same, where there are so many.
    """

    def __init__(self, seed: int, size: int, *, misses: int) -> None:
        random = np.random.default_rng(seed)
        self.size = size
        self.missed = random.permutation(size)[:misses]
        self.documents = np.sort(random.integers(1, max(2, size // 5), size))
        self.vectors = random.standard_normal((size, 4)).astype(np.float32)
        self.vectors /= np.linalg.norm(self.vectors, axis=1, keepdims=True)
        # Few values, so that many tie.
        self.dense = np.round(self.vectors @ np.array([1, 0, 0, 0]), 1).astype(np.float32)
        self.lexical = random.integers(0, 6, size).astype(np.float32)

    def found(self, depth: int, *, dense: bool, lexical: bool) -> Found:
        chunks = np.arange(1, self.size + 1)
        reached = np.ones(self.size, np.bool_)
        reached[self.missed[: min(len(self.missed) * 4 // depth, max(0, self.size - depth))]] = False

        def best(scores: NDArray[np.float32], among: NDArray[np.bool_]) -> Candidates:
            places = np.flatnonzero(among)
            order = places[np.lexsort((places, -scores[places]))][:depth]
            return Candidates(chunks[order], self.documents[order], scores[order])

        return Found(
            best(self.dense, reached) if dense else None,
            best(self.lexical, self.lexical > 0) if lexical else None,
            lambda wanted: self.vectors[wanted - 1],
        )

    def page(self, choice: Choice, depth: int, *, dense: bool, lexical: bool) -> list[Selected]:
        """Search deeper and deeper until the page is there."""
        selection = Selection(choice, depth)
        for _ in range(20):
            selected = list(selection(self.found(selection.depth, dense=dense, lexical=lexical)))
            assert selected == list(selection(self.found(selection.depth, dense=dense, lexical=lexical)))
            if not selection.deeper:
                return selected
            assert selected == []
            selection = selection.next()
        raise AssertionError("the ladder has no end")


@settings(deadline=None)  # it searches up to a hundred times
@given(
    seed=st.integers(0, 1000),
    size=st.integers(0, 150),
    misses=st.sampled_from([0, 3]),
    sides=st.sampled_from([(True, False), (False, True), (True, True)]),
    cap=st.integers(0, 3),
    min_score=st.sampled_from([None, -0.5, 0.3, 0.9]),
    rerank=st.sampled_from([None, 0.0, 0.5, 1.0]),
    first=st.sampled_from([4, 10, 32]),
    top_k=st.integers(3, 40),
)
def test_pages_of_any_query_are_one_large_answer(
    *,
    seed: int,
    size: int,
    misses: int,
    sides: tuple[bool, bool],
    cap: int,
    min_score: float | None,
    rerank: float | None,
    first: int,
    top_k: int,
) -> None:
    corpus = Corpus(seed, size, misses=misses)
    dense, lexical = sides
    whole = Choice(
        top_k=100,
        offset=0,
        max_depth=100,
        min_score=min_score,
        cap=cap,
        dense_weight=0.5 if dense and lexical else None,
        pool=50 if rerank is not None else 0,
        diversity=rerank,
    )
    large = corpus.page(whole, first, dense=dense, lexical=lexical)
    pages: list[Selected] = []
    for offset in range(0, 100, top_k):
        choice = whole._replace(top_k=min(top_k, 100 - offset), offset=offset)
        pages += corpus.page(choice, first, dense=dense, lexical=lexical)
    assert pages == large
    scores = [each.score for each in large]
    assert scores == sorted(scores, reverse=True)
    assert len({each.chunk for each in large}) == len(large)
    assert min_score is None or all(score >= np.float32(min_score) for score in scores)
    documents = Counter(each.document for each in large)
    assert not cap or all(count <= cap for count in documents.values())


@given(seed=st.integers(0, 1000), size=st.integers(1, 200), cap=st.integers(0, 3))
def test_an_exact_ranking_is_what_sorting_everything_gives(seed: int, size: int, cap: int) -> None:
    corpus = Corpus(seed, size, misses=0)
    choice = Choice(top_k=1000, offset=0, max_depth=1000, cap=cap)
    hits = corpus.page(choice, 16, dense=True, lexical=False)
    order = sorted(range(size), key=lambda place: (-corpus.dense[place], place))
    counts: Counter[int] = Counter()
    expected = []
    for place in order:
        document = int(corpus.documents[place])
        counts[document] += 1
        if not cap or counts[document] <= cap:
            expected.append(place + 1)
    assert [each.chunk for each in hits] == expected


def test_one_document_that_fills_a_search_is_passed_by() -> None:
    corpus = Corpus(3, 400, misses=0)
    corpus.documents[:] = 1
    corpus.documents[np.argsort(corpus.dense)[:20]] = np.arange(100, 120)
    choice = Choice(top_k=10, offset=0, max_depth=400, cap=1)
    hits = corpus.page(choice, 16, dense=True, lexical=False)
    assert len(hits) == 10
    assert len({each.document for each in hits}) == 10


def test_a_model_gets_the_whole_pool_and_no_bound_before_it() -> None:
    corpus = Corpus(5, 200, misses=0)
    choice = Choice(top_k=3, offset=2, max_depth=200, pool=12, whole_pool=True, min_score=0.99, cap=1)
    hits = corpus.page(choice, 200, dense=True, lexical=False)
    assert len(hits) == 12
    assert all(each.rerank is None for each in hits)


def test_what_was_varied_says_so() -> None:
    corpus = Corpus(6, 50, misses=0)
    choice = Choice(top_k=5, offset=0, max_depth=50, pool=20, diversity=0.5, dense_weight=0.5)
    selection = Selection(choice, 50)
    hits = selection(corpus.found(50, dense=True, lexical=True))
    assert [each.rerank for each in hits] == [each.score for each in hits]
    assert set(selection.seconds) == {"fuse", "rerank"}
    assert hits[0].dense_rank is not None or hits[0].lexical_rank is not None

"""Cutting candidates to hits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.searches import Candidates, Found
from rag_grpc.core.selection import dense_selection

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
    selected = dense_selection(top_k=2)(FOUND)
    assert [(each.chunk, each.document, each.score) for each in selected] == [(7, 1, 0.75), (3, 2, 0.5)]
    assert [(each.dense, each.dense_rank) for each in selected] == [(0.75, 1), (0.5, 2)]
    assert type(selected[0].score) is float


def test_pages_are_what_one_large_answer_would_have_been() -> None:
    whole = list(dense_selection(top_k=4)(FOUND))
    pages = [each for offset in (0, 3) for each in dense_selection(top_k=3, offset=offset)(FOUND)]
    assert pages == whole
    assert list(dense_selection(top_k=3, offset=4)(FOUND)) == []


def test_what_scores_lower_than_the_bound_is_left_out() -> None:
    assert [each.chunk for each in dense_selection(top_k=4, min_score=0.5)(FOUND)] == [7, 3, 5]
    assert [each.chunk for each in dense_selection(top_k=4, min_score=-1.0)(FOUND)] == [7, 3, 5, 9]
    assert [each.chunk for each in dense_selection(top_k=1, offset=1, min_score=0.5)(FOUND)] == [3]


def test_no_candidates_no_hits() -> None:
    empty = Candidates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    assert list(dense_selection(top_k=3)(Found(empty, None, no_vectors))) == []

"""Reciprocal rank fusion, against the formula written down."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.fusion import fused
from rag_grpc.core.searches import Candidates

IDS = st.lists(st.integers(1, 40), unique=True, max_size=25)


def side(chunks: list[int]) -> Candidates:
    """A side that found these chunks, best first; a document has the chunks of ten ids."""
    ids = np.array(chunks, np.int64)
    return Candidates(ids, ids // 10, np.linspace(9, 1, len(ids), dtype=np.float32))


@given(
    dense=IDS,
    lexical=IDS,
    weight=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]),
    constant=st.sampled_from([1, 20, 60, 10_000]),
)
def test_fusion_is_the_formula(dense: list[int], lexical: list[int], weight: float, constant: int) -> None:
    ranking = fused(side(dense), side(lexical), dense_weight=weight, constant=constant)
    exact: dict[int, Fraction] = {}
    for chunks, share in ((dense, Fraction(weight)), (lexical, 1 - Fraction(weight))):
        for rank, chunk in enumerate(chunks, start=1):
            if share:
                gain = share * (constant + 1) / (constant + rank)
                exact[chunk] = exact.get(chunk, Fraction(0)) + gain
    assert set(ranking.chunks.tolist()) == set(exact)
    for chunk, score in zip(ranking.chunks.tolist(), ranking.scores.tolist(), strict=True):
        assert score == pytest.approx(float(exact[chunk]), rel=1e-6)
    # In order, and ties by chunk id.
    order = list(zip((-ranking.scores).tolist(), ranking.chunks.tolist(), strict=True))
    assert order == sorted(order)
    assert ranking.documents.tolist() == [chunk // 10 for chunk in ranking.chunks.tolist()]


@given(dense=IDS, lexical=IDS)
def test_each_side_s_own_word_is_kept(dense: list[int], lexical: list[int]) -> None:
    ranking = fused(side(dense), side(lexical), dense_weight=0.5, constant=60)
    for hit in ranking.selected(0, 100):
        assert hit.dense_rank == (dense.index(hit.chunk) + 1 if hit.chunk in dense else None)
        assert hit.lexical_rank == (lexical.index(hit.chunk) + 1 if hit.chunk in lexical else None)
        for found, rank, score in (
            (dense, hit.dense_rank, hit.dense),
            (lexical, hit.lexical_rank, hit.lexical),
        ):
            assert (score is None) == (rank is None)
            if rank is not None:
                assert score == side(found).scores[rank - 1]


def test_first_on_both_sides_scores_one() -> None:
    for weight in (0.1, 0.3, 0.5, 0.7):
        ranking = fused(side([7, 2, 3]), side([7, 3, 9]), dense_weight=weight, constant=60)
        assert (ranking.chunks[0], ranking.scores[0]) == (7, 1.0)
        assert (ranking.scores[1:] < 1).all()


def test_no_candidates_no_ranking() -> None:
    assert len(fused(side([]), side([]), dense_weight=0.5, constant=60).chunks) == 0
    assert fused(side([]), side([4, 2]), dense_weight=0.5, constant=60).chunks.tolist() == [4, 2]

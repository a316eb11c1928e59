"""Capping, bounding and continuing rankings, against plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.rankings import Ranking, capped, following, of_dense, of_lexical, scoring
from rag_grpc.core.searches import Candidates

CHUNKS = st.lists(
    st.tuples(st.integers(1, 60), st.integers(1, 6)), unique_by=lambda each: each[0], max_size=40
)


def ranking(chunks: list[tuple[int, int]], scores: list[float] | None = None) -> Ranking:
    """Of (chunk, document), best first."""
    ids, documents = zip(*chunks, strict=True) if chunks else ((), ())
    values = scores or np.linspace(1, 0, len(chunks)).tolist()
    return of_dense(
        Candidates(np.array(ids, np.int64), np.array(documents, np.int64), np.array(values, np.float32))
    )


@given(chunks=CHUNKS, most=st.integers(1, 4))
def test_a_cap_keeps_the_best_of_each_document(chunks: list[tuple[int, int]], most: int) -> None:
    counts: dict[int, int] = {}
    expected = []
    for chunk, document in chunks:
        counts[document] = counts.get(document, 0) + 1
        if counts[document] <= most:
            expected.append(chunk)
    assert capped(ranking(chunks), most).chunks.tolist() == expected


@given(chunks=CHUNKS, least=st.floats(-0.125, 1.125, width=32))
def test_what_scores_less_is_left_out(chunks: list[tuple[int, int]], least: float) -> None:
    whole = ranking(chunks)
    kept = scoring(whole, least)
    assert kept.chunks.tolist() == [
        chunk for chunk, score in zip(whole.chunks, whole.scores, strict=True) if score >= least
    ]


def test_what_follows_never_scores_more_and_keeps_its_parts() -> None:
    head = ranking([(1, 1), (2, 1), (9, 3)], [0.9, 0.5, 0.4])
    deeper = ranking([(3, 2), (1, 1), (2, 1), (4, 2)], [0.95, 0.9, 0.5, 0.1])
    whole = following(head, deeper)
    # 9 has died since; 3 was missed before, and stands behind what is there already.
    assert whole.chunks.tolist() == [1, 2, 3, 4]
    assert np.allclose(whole.scores, [0.9, 0.5, 0.5, 0.1])
    assert np.allclose(whole.dense, [0.9, 0.5, 0.95, 0.1])


def test_a_part_is_none_where_the_side_was_not_asked() -> None:
    candidates = Candidates(np.array([4]), np.array([2]), np.array([0.5], np.float32))
    (hit,) = of_lexical(candidates).selected(0, 10)
    assert (hit.chunk, hit.document, hit.score) == (4, 2, 0.5)
    assert (hit.dense, hit.dense_rank, hit.lexical, hit.lexical_rank) == (None, None, 0.5, 1)
    assert type(hit.chunk) is int
    (hit,) = of_dense(candidates).selected(0, 10)
    assert (hit.dense, hit.dense_rank, hit.lexical, hit.lexical_rank) == (0.5, 1, None, None)

"""One ranking from two: reciprocal rank fusion, with weights.

Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual
rank learning methods" (SIGIR 2009). Similarities and BM25 have no common scale, and what
scale they have changes from query to query; ranks compare. A chunk gets

    weight / (constant + rank)

of each side that found it. The larger the constant, the less it matters to be first
rather than tenth, and the more to be found by both. Scores are divided by the largest
one possible, so that 1 says: first on both sides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.rankings import Ids, Ranking
from rag_grpc.core.searches import Candidates

_NOWHERE = np.empty(0, np.int64)


def fused(dense: Candidates, lexical: Candidates, *, dense_weight: float, constant: int) -> Ranking:
    """Fuse two sides: `dense_weight`, 0 to 1, goes to the dense one, the rest to the lexical one.

    Ties stand in order of chunk id. What only a side of no weight has found is left out.
    """
    count = len(dense.chunks)
    places, partners = _found_by_both(dense.chunks, lexical.chunks)
    alone = np.ones(len(lexical.chunks), np.bool_)
    alone[partners] = False
    rest = np.flatnonzero(alone)
    chunks = np.concatenate([dense.chunks, lexical.chunks[rest]])
    dense_ranks, lexical_ranks = np.zeros((2, len(chunks)), np.int64)
    dense_scores, lexical_scores = np.zeros((2, len(chunks)), np.float32)
    dense_ranks[:count] = np.arange(1, count + 1)
    dense_scores[:count] = dense.scores
    lexical_ranks[places], lexical_ranks[count:] = partners + 1, rest + 1
    lexical_scores[places], lexical_scores[count:] = lexical.scores[partners], lexical.scores[rest]
    gains = _gains(dense_ranks, dense_weight, constant) + _gains(lexical_ranks, 1 - dense_weight, constant)
    # In float32 already while sorting: what looks like a tie to a caller is one.
    scores = gains.astype(np.float32)
    order = np.lexsort((chunks, -scores))
    if not 0 < dense_weight < 1:
        order = order[gains[order] > 0]
    documents = np.concatenate([dense.documents, lexical.documents[rest]])
    parts = (dense_scores, dense_ranks, lexical_scores, lexical_ranks)
    return Ranking._make(each[order] for each in (chunks, documents, scores, *parts))


def _gains(ranks: Ids, weight: float, constant: int) -> NDArray[np.float64]:
    gains: NDArray[np.float64] = weight * (constant + 1) / (constant + ranks)
    gains[ranks == 0] = 0
    return gains


def _found_by_both(one: Ids, other: Ids) -> tuple[Ids, Ids]:
    """Return where the chunks that both have stand in the one, and where in the other."""
    if not len(other):
        return _NOWHERE, _NOWHERE
    by_chunk = np.argsort(other)
    ordered = other[by_chunk]
    nearest = np.minimum(np.searchsorted(ordered, one), len(ordered) - 1)
    places = np.flatnonzero(ordered[nearest] == one)
    return places, by_chunk[nearest[places]]

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

from rag_grpc.core.rankings import Ids, Ranking, Scores
from rag_grpc.core.searches import Candidates


def fused(dense: Candidates, lexical: Candidates, *, dense_weight: float, constant: int) -> Ranking:
    """Fuse two sides: `dense_weight`, 0 to 1, goes to the dense one, the rest to the lexical one.

    Ties stand in order of chunk id. What only a side of no weight has found is left out.
    """
    sides = [
        (side, weight) for side, weight in ((dense, dense_weight), (lexical, 1 - dense_weight)) if weight > 0
    ]
    every = np.concatenate([side.chunks for side, _ in sides])
    chunks, first, place = np.unique(every, return_index=True, return_inverse=True)
    gains = np.concatenate(
        [
            weight * (constant + 1) / (constant + np.arange(1.0, len(side.chunks) + 1))
            for side, weight in sides
        ]
    )
    # In float32 already while sorting: what looks like a tie to a caller is one.
    scores = np.bincount(place, weights=gains, minlength=len(chunks)).astype(np.float32)
    documents = np.concatenate([side.documents for side, _ in sides])[first]
    parts = [part for side in (dense, lexical) for part in _part(side, chunks)]
    order = np.lexsort((chunks, -scores))
    return Ranking._make(each[order] for each in (chunks, documents, scores, *parts))


def _part(side: Candidates, chunks: Ids) -> tuple[Scores, Ids]:
    """Return what a side says of chunks, which are in order: its scores and ranks, 0 where it found none."""
    scores, ranks = np.zeros(len(chunks), np.float32), np.zeros(len(chunks), np.int64)
    if len(chunks):
        places = np.searchsorted(chunks, side.chunks)
        inside = chunks[np.minimum(places, len(chunks) - 1)] == side.chunks
        scores[places[inside]] = side.scores[inside]
        ranks[places[inside]] = np.flatnonzero(inside) + 1
    return scores, ranks

"""Re-ranking for variety: maximal marginal relevance.

Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering
documents and producing summaries" (SIGIR 1998). One candidate after the other is taken:
the one with the largest

    (1 - diversity) * relevance - diversity * likeness to the most alike one taken so far

so that ten copies of the best answer do not fill the list. Candidates are compared by
their own embeddings, which the store has at hand, so this costs no model and no hop.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.models import Metric

_TINY = 1e-30


def likeness(vectors: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """Compare candidates, of shape (n, dimension), with each other: shape (n, n), larger is more alike.

    The measure is the metric's own, as relevance by nearness is; see `rag_grpc.core.models.Metric`.
    """
    products: NDArray[np.float32] = vectors @ vectors.T
    if metric is not Metric.EUCLIDEAN:
        return products
    squares = np.einsum("ij,ij->i", vectors, vectors)
    distances: NDArray[np.float32] = squares[:, None] + squares[None, :] - 2 * products
    return -distances


def cosines(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compare candidates by their directions alone, where relevance is of another kind than nearness."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    units = vectors / np.maximum(lengths, _TINY)[:, None]
    products: NDArray[np.float32] = units @ units.T
    return products


def varied(
    relevance: NDArray[np.float32], alike: NDArray[np.float32], *, diversity: float, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Take `count` candidates, or all: their places in the order taken, and their scores, which never rise.

    `relevance` has shape (n,), `alike` (n, n). Of those that tie, the first stands first. The first one
    taken has nothing to be like; its score is its relevance's share alone, and where all is unlike, with
    negative likeness, a later one could score more: scores are lowered to the one before.
    """
    gains = (1 - diversity) * relevance.astype(np.float64)
    nearest = np.full(len(gains), -np.inf)
    values = gains.copy()
    places: list[int] = []
    scores: list[float] = []
    for _ in range(min(count, len(gains))):
        place = int(values.argmax())
        places.append(place)
        scores.append(values[place])
        np.maximum(nearest, alike[place], out=nearest)
        values = gains - diversity * nearest
        values[places] = -np.inf
    order = np.array(places, np.int64)
    return order, np.minimum.accumulate(np.array(scores, np.float32))

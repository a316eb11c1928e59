"""How much of the truth a search finds: some chunks of one view, asked for their neighbours in both ways.

A chunk is its own nearest neighbour, and every graph finds that; so it is taken out on both sides. What was
found is counted by score, in float64 from the same rows, so that neither the choice between equal chunks nor
the last digit of a float32 sum counts as a miss.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.models import Metric
from rag_grpc.stores.embedded.dense_search import DenseView, search
from rag_grpc.stores.embedded.vector_file import Ids


def shares_found(view: DenseView, places: Sequence[float], *, top_k: int, ef: int) -> list[float]:
    """Say for each place which share of its chunk's true neighbours is found; see Store.index_recall."""
    slots = view.slots
    living = np.flatnonzero(slots.alive(view.seq))
    if not len(living):
        return []
    asked = living[(np.asarray(places) * len(living)).astype(np.int64)]
    if view.graph is None or len(living) == 1:
        # Then every search compares every vector.
        return [1.0] * len(asked)
    queries = np.asarray(slots.rows[asked])
    found = search(view, queries, k=top_k + 1, ef=ef, exact=False)
    truth = search(view, queries, k=top_k + 1, ef=0, exact=True)
    return [
        _share(view, int(slot), one.candidates.chunks, other.candidates.chunks, top_k)
        for slot, one, other in zip(asked, found, truth, strict=True)
    ]


def _share(view: DenseView, asked: int, found: Ids, truth: Ids, top_k: int) -> float:
    best = _scores(view, asked, truth, top_k)
    return float(np.count_nonzero(_scores(view, asked, found, top_k) >= best.min()) / len(best))


def _scores(view: DenseView, asked: int, chunks: Ids, top_k: int) -> NDArray[np.float64]:
    """Score the first `top_k` chunks that are not the asked one's own."""
    slots = view.slots
    others = chunks[chunks != slots.ids[asked]][:top_k]
    rows = slots.rows[slots.slots_of(others)].astype(np.float64)
    query = slots.rows[asked].astype(np.float64)
    if view.metric is Metric.EUCLIDEAN:
        return np.asarray(-((rows - query) ** 2).sum(axis=1))
    return np.asarray((rows * query).sum(axis=1))

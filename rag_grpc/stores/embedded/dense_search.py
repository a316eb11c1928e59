"""Finding the nearest chunks in one view: through the graph, and exactly.

Exact comparison is one matrix product a block of rows. It serves small collections,
the *tail* (chunks that are not in the graph yet), callers who ask for it, and the
rare query that the graph answers with too few: a graph's list can lose members to
chunks that died or were born after the view, and then the view is compared whole,
so that a search never returns fewer hits than there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.models import Metric
from rag_grpc.core.searches import Candidates, SearchStrategy
from rag_grpc.stores.embedded.graph import Graph, Table, scores_of
from rag_grpc.stores.embedded.hit_file import HitFile
from rag_grpc.stores.embedded.place_file import PlaceFile
from rag_grpc.stores.embedded.processors import ALONE, Processors
from rag_grpc.stores.embedded.vector_file import Ids, Rows, Slots

BLOCK_VALUES = 4_000_000
"""Numbers compared at a time, 16 MB: large enough for the product, small enough for memory."""

ORDINARY_SQUARES = (1e-24, 1e30)
"""Squared norms that float32 holds with all its digits: no part of such a sum that matters is lost."""

TIES = 8
"""That many more than were asked for are looked at first, which shows whether any others tie."""

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DenseView:
    """What a search sees of a collection's vectors: the slots below `slots.length` that live at `seq`.

    `places` is what is remembered of where their chunks stand, and `hits` of all that hits say; None where
    that is not worth a file.
    """

    slots: Slots
    seq: int
    metric: Metric
    graph: Graph | None
    places: PlaceFile | None = None
    hits: HitFile | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The best chunks for one query, and how they were found."""

    candidates: Candidates
    strategy: SearchStrategy


def comparable(vectors: Rows, metric: Metric) -> Rows:
    """Return rows as they are compared: normalised for cosine. Shape (n, dimension), float32, contiguous.

    Where a square over- or underflows in float32, norms are taken in float64, which no finite vector leaves.
    """
    if metric is not Metric.COSINE:
        return np.ascontiguousarray(vectors, dtype=np.float32)
    squares = np.einsum("ij,ij->i", vectors, vectors)
    # As a list: `min` and `max` of an array of few numbers take longer than these.
    numbers = squares.tolist()
    if numbers and ORDINARY_SQUARES[0] < min(numbers) and max(numbers) < ORDINARY_SQUARES[1]:
        unit: Rows = np.divide(vectors, np.sqrt(squares)[:, None], dtype=np.float32, order="C")
        return unit
    wide = vectors.astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    return np.asarray(wide / norms[:, None], dtype=np.float32)


def vectors_of(view: DenseView, chunks: Ids) -> Rows:
    """Return the comparable rows of chunks that live in this view: shape (n, dimension)."""
    return np.asarray(view.slots.rows[view.slots.slots_of(chunks)])


def search(
    view: DenseView, queries: Rows, *, k: int, ef: int, exact: bool, threads: Processors = ALONE
) -> list[Found]:
    """Find the `k` best chunks for each row of `queries` (n, dimension), which are comparable rows."""
    if exact or view.graph is None:
        return [Found(each, SearchStrategy.EXACT) for each in _exact(view, queries, k)]
    labels, distances, covered = view.graph.nearest(queries, max(k, ef), threads=threads)
    found = _as_they_are(view, labels, distances, k, covered)
    if found is not None:
        return found
    tails = _best(view, queries, k, first=covered)
    merged = [
        _merge(view, ids, scores_of(near, view.metric), tail, k=k, covered=covered)
        for ids, near, tail in zip(labels, distances, tails, strict=True)
    ]
    short = [place for place, each in enumerate(merged) if each is None]
    again = dict(zip(short, _exact(view, queries[short], k) if short else (), strict=True))
    return [
        Found(again[place], SearchStrategy.ANN_THEN_EXACT)
        if each is None
        else Found(each, SearchStrategy.ANN)
        for place, each in enumerate(merged)
    ]


def _as_they_are(
    view: DenseView, labels: Table[np.int64], distances: Table[np.float32], k: int, covered: int
) -> list[Found] | None:
    """Take what the graph found where nothing is to be added or left out, as in a collection at rest.

    All queries at once, because each call into numpy costs a microsecond; None where it is not so simple.
    """
    slots = view.slots
    if covered != slots.length or not (isinstance(labels, np.ndarray) and isinstance(distances, np.ndarray)):
        return None
    if labels.shape[1] < k:
        return None
    ids = labels[:, :k]
    places = slots.slots_of(ids)
    if places.max() >= slots.length or slots.died[places].min() <= view.seq:
        return None
    scores = scores_of(distances[:, :k], view.metric)
    if b"\1" in (scores[:, 1:] >= scores[:, :-1]).tobytes():
        # Some tie, and ties are settled by id.
        return None
    contents = slots.contents[places]
    return [Found(Candidates(*row), SearchStrategy.ANN) for row in zip(ids, contents, scores, strict=True)]


def _merge(
    view: DenseView, ids: Ids, scores: Scores, tail: tuple[Ids, Scores], *, k: int, covered: int
) -> Candidates | None:
    """Join what graph and tail found; None where the graph returned too few that live in this view."""
    slots = view.slots
    head = min(len(ids), k)
    places = slots.slots_of(ids[:head])
    usable = _lives(view, places)
    if not usable.all():
        places = slots.slots_of(ids)
        usable = _lives(view, places)
        head = len(ids)
    places, scores = places[usable], scores[:head][usable]
    if len(places) < k and len(places) < np.count_nonzero(slots.alive(view.seq)[:covered]):
        return None
    tail_places, tail_scores = tail
    if len(tail_places):
        places = np.concatenate([places, tail_places])
        scores = np.concatenate([scores, tail_scores])
    return candidates_of(slots, places, scores, k)


def _lives(view: DenseView, places: NDArray[np.intp]) -> NDArray[np.bool_]:
    inside = places < view.slots.length
    if inside.all():
        return view.slots.died[places] > view.seq
    # A chunk that was born after this view can be in the graph already: its slot is not ours to read.
    alive = np.zeros(len(places), dtype=np.bool_)
    alive[inside] = view.slots.died[places[inside]] > view.seq
    return alive


def _exact(view: DenseView, queries: Rows, k: int) -> list[Candidates]:
    return [
        candidates_of(view.slots, places, scores, k) for places, scores in _best(view, queries, k, first=0)
    ]


def _best(view: DenseView, queries: Rows, k: int, *, first: int) -> list[tuple[Ids, Scores]]:
    """Compare all slots from `first` on; return up to `k` (slot, score) for each query, in no order."""
    slots = view.slots
    none = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
    best = [none] * len(queries)
    step = max(1, BLOCK_VALUES // max(queries.shape[1], len(queries)))
    for start in range(first, slots.length, step):
        end = min(start + step, slots.length)
        died = slots.died[start:end]
        scores = compare(slots.rows[start:end], queries, view.metric)
        if died.min() <= view.seq:
            scores[:, died <= view.seq] = -np.inf
        for place, row in enumerate(scores):
            best[place] = keep_best(best[place], row, start, k)
    return best


def keep_best(best: tuple[Ids, Scores], row: Scores, start: int | Ids, k: int) -> tuple[Ids, Scores]:
    """Return the `k` best (slot, score) of those that were found and those of `row`, whose -inf are none.

    `start` is the slot of the row's first score, where they lie in a row, or the slot of each.
    """
    chosen = _largest(row, k) if len(row) > k else np.flatnonzero(row > -np.inf)
    slots = chosen + start if isinstance(start, int) else start[chosen]
    places = np.concatenate([best[0], slots])
    scores = np.concatenate([best[1], row[chosen]])
    order = np.lexsort((places, -scores))[:k]
    return places[order], scores[order]


def _largest(row: Scores, k: int) -> NDArray[np.int64]:
    """Return where the `k` largest stand, in no order, and all that tie with the last of them; -inf is none.

    Whoever ties is kept, so that the smallest chunk id wins and not the partition's whim. Each operation on
    a long row lets go of the GIL and must wait for it again: nearly always one is enough.
    """
    count = k + TIES
    if count < len(row):
        places = np.argpartition(row, len(row) - count)[len(row) - count :]
        values = row[places]
        last = np.partition(values, TIES)[TIES]
        if values.min() < last:
            # What is not among these is no larger than the least of them, so nothing else ties.
            return np.asarray(places[values >= last])
    threshold = np.partition(row, len(row) - k)[len(row) - k]
    return np.flatnonzero((row >= threshold) & (row > -np.inf))


def compare(rows: Rows, queries: Rows, metric: Metric) -> Scores:
    """Score rows (n, dimension) for queries (m, dimension): shape (m, n)."""
    if metric is not Metric.EUCLIDEAN:
        scores = np.asarray(queries @ rows.T, dtype=np.float32)
        return np.clip(scores, -1, 1, out=scores) if metric is Metric.COSINE else scores
    # |a-b|^2 from squares and products loses the digits of near vectors, so differences are taken.
    distances = np.empty((len(queries), len(rows)), dtype=np.float32)
    for place, query in enumerate(queries):
        difference = rows - query
        np.einsum("ij,ij->i", difference, difference, out=distances[place])
    return np.negative(distances)


def candidates_of(slots: Slots, places: NDArray[np.int64], scores: Scores, k: int) -> Candidates:
    """Return the `k` best of these slots: by score, then by chunk id."""
    ids = slots.ids[places]
    order = np.lexsort((ids, -scores))[:k]
    chosen = places[order]
    return Candidates(chunks=ids[order], documents=slots.contents[chosen], scores=scores[order])

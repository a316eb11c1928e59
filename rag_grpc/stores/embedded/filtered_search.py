"""Finding the nearest of the chunks that a filter lets through.

Two ways, and a third that joins them. Where few pass, all of them are compared: exact,
and for a few thousand faster than the graph. Where many pass, the graph is asked,
unfiltered, for so many candidates that more than k of them can be expected to pass;
those that do are the best, because the best passing ones of an unfiltered list are the
best of all. Where that gives too few, because the filter goes against the query, what
passes is compared exactly after all.

A graph's list is the less complete the further down one looks, and a filter makes one
look further down. So it is asked for twice the breadth of an unfiltered search, and
what only the last quarter of its list could complete is compared exactly. (Real text
vectors, 25,487 x 128: recall@10 of the queries that suit the graph least was 0.962
without either.)

hnswlib's own filter is no help: it asks for each node that it visits, and goes on
until enough have passed, which takes ten times an unfiltered query at one in ten.
"""

from __future__ import annotations

import math

import numpy as np

from rag_grpc.core.searches import Candidates, SearchStrategy
from rag_grpc.stores.embedded.allowed_chunks import AllowedChunks
from rag_grpc.stores.embedded.dense_search import (
    BLOCK_VALUES,
    DenseView,
    Found,
    Scores,
    candidates_of,
    compare,
    keep_best,
)
from rag_grpc.stores.embedded.graph import scores_of
from rag_grpc.stores.embedded.processors import ALONE, Processors
from rag_grpc.stores.embedded.vector_file import Ids, Rows

MARGIN = 2.5
"""How many times more candidates the graph is asked for than would do on the average: with fewer, the
k-th that passes lies behind TRUSTED in several lists of a hundred, by chance alone."""
BREADTH = 2
TRUSTED = 0.75
"""The share of a graph's list in which the k-th that passes must lie."""
SCAN_SHARE = 0.25
"""Where more of all slots pass, reading all in a row is faster than picking out those that pass."""
GRAPH_ROWS = 15
"""Rows that can be picked out and compared in the time that the graph takes for one candidate.
An estimate: benchmarks/filters.py shows what plans cost that are made by it, not the figure itself."""
PICKED_VALUES = 200_000
"""Numbers that are picked out at a time: 800 KB, which stay in the processor's cache and are fewer than the
allocator takes from the kernel and gives back each time (`allocator.LARGE_BYTES`), so that their pages do not
fault anew (docs/performance.md, "Filters and modes")."""
NONE = (np.empty(0, np.int64), np.empty(0, np.float32))
"""No slots, and no scores."""


def search_allowed(
    view: DenseView,
    queries: Rows,
    allowed: AllowedChunks,
    *,
    k: int,
    ef: int,
    exact: bool,
    live: int,
    threads: Processors = ALONE,
) -> list[Found]:
    """Find the `k` best of the `allowed` chunks for each row of `queries`, which are comparable rows.

    `allowed` is of the same view; `live` is how many chunks live in it.
    """
    matching = len(allowed)
    wanted = min(max(BREADTH * ef, math.ceil(MARGIN * k * live / max(matching, 1))), live)
    few = matching <= k or _rows_to_compare(view, matching) <= wanted * GRAPH_ROWS
    if exact or few or view.graph is None:
        everything = _best(view, queries, allowed, k)
        return [Found(candidates_of(view.slots, *best, k), SearchStrategy.EXACT) for best in everything]
    labels, distances, covered = view.graph.nearest(queries, wanted, threads=threads)
    inside, tails = _tails(view, queries, allowed, covered, k)
    merged = [
        _merged(view, allowed, (ids, scores_of(near, view.metric)), tail, k=k, enough=min(k, inside))
        for ids, near, tail in zip(labels, distances, tails, strict=True)
    ]
    short = [place for place, each in enumerate(merged) if each is None]
    again = iter(_best(view, queries[short], allowed, k) if short else ())
    return [
        Found(candidates_of(view.slots, *next(again), k), SearchStrategy.ANN_THEN_EXACT)
        if each is None
        else Found(each, SearchStrategy.ANN)
        for each in merged
    ]


def _tails(
    view: DenseView, queries: Rows, allowed: AllowedChunks, covered: int, k: int
) -> tuple[int, list[tuple[Ids, Scores]]]:
    """Say how many of the allowed chunks the graph covers, and find the best of the others."""
    slots = view.slots
    if covered >= slots.length:
        return len(allowed), [NONE] * len(queries)
    inside = int(np.searchsorted(allowed.ids, slots.ids[covered]))
    return inside, _picked(view, queries, slots.slots_of(allowed.ids[inside:]), k)


def _rows_to_compare(view: DenseView, matching: int) -> float:
    """Say what an exact search costs, in rows that are picked out; those in a row take less than half."""
    return min(matching, SCAN_SHARE * view.slots.length)


def _merged(
    view: DenseView,
    allowed: AllowedChunks,
    near: tuple[Ids, Scores],
    tail: tuple[Ids, Scores],
    *,
    k: int,
    enough: int,
) -> Candidates | None:
    """Join what graph and tail found; None where of the graph's best fewer than `enough` pass."""
    trusted = len(near[0]) if len(near[0]) >= view.slots.length else math.ceil(TRUSTED * len(near[0]))
    ids, scores = near[0][:trusted], near[1][:trusted]
    # What passes lives in the view, so this also leaves out what died before it or was born after it.
    passing = allowed.mask(ids.astype(np.int64))
    places, scores = view.slots.slots_of(ids[passing][:k]), scores[passing][:k]
    if len(places) < enough:
        return None
    tail_places, tail_scores = tail
    return candidates_of(
        view.slots, np.concatenate([places, tail_places]), np.concatenate([scores, tail_scores]), k
    )


def _best(view: DenseView, queries: Rows, allowed: AllowedChunks, k: int) -> list[tuple[Ids, Scores]]:
    """Compare what is allowed; return up to `k` (slot, score) for each query, in no order."""
    slots = view.slots
    if len(allowed) <= SCAN_SHARE * slots.length:
        return _picked(view, queries, slots.slots_of(allowed.ids), k)
    best = [NONE] * len(queries)
    others = allowed.others(slots.ids[: slots.length])
    step = max(1, BLOCK_VALUES // max(queries.shape[1], len(queries)))
    for begin in range(0, slots.length, step):
        end = min(begin + step, slots.length)
        scores = compare(slots.rows[begin:end], queries, view.metric)
        np.copyto(scores, -np.inf, where=others[begin:end])
        best = [keep_best(each, row, begin, k) for each, row in zip(best, scores, strict=True)]
    return best


def _picked(view: DenseView, queries: Rows, places: Ids, k: int) -> list[tuple[Ids, Scores]]:
    """Compare the slots in `places`, which are in order; return as `_best` does."""
    best = [NONE] * len(queries)
    step = max(1, BLOCK_VALUES // max(queries.shape[1], len(queries)))
    for begin in range(0, len(places), step):
        part = places[begin : begin + step]
        scores = _scores_of_picked(view, queries, part)
        best = [keep_best(each, row, part, k) for each, row in zip(best, scores, strict=True)]
    return best


def _scores_of_picked(view: DenseView, queries: Rows, places: Ids) -> Scores:
    """Score the slots in `places` as `compare` does: shape (queries, places).

    Only rows are taken in small pieces. To keep the best of each would cost each query of a batch as often.
    """
    scores = np.empty((len(queries), len(places)), np.float32)
    step = max(1, PICKED_VALUES // queries.shape[1])
    for begin in range(0, len(places), step):
        piece = slice(begin, begin + step)
        scores[:, piece] = compare(view.slots.rows[places[piece]], queries, view.metric)
    return scores

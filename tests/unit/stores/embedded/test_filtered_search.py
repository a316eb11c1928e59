"""What passes a filter is found as comparing all of it finds it, whichever way is taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_grpc.allocator import LARGE_BYTES
from rag_grpc.core.models import Chunking, Collection, Metric
from rag_grpc.core.searches import SearchStrategy
from rag_grpc.stores.embedded import filtered_search
from rag_grpc.stores.embedded.allowed_chunks import AllowedChunks
from rag_grpc.stores.embedded.dense_index import Born, DenseIndex, Died, IndexParameters
from rag_grpc.stores.embedded.dense_search import DenseView, Found, comparable
from rag_grpc.stores.embedded.vector_file import Ids, Rows

DIMENSION = 8
FIRST = 1000
COUNT = 2000


@pytest.fixture
def index(tmp_path: Path) -> Iterator[DenseIndex]:
    collection = Collection(1, "uid", "things", "none", "", DIMENSION, Metric.COSINE, Chunking(), "", 0)
    made = DenseIndex(tmp_path / "v.f32", collection, IndexParameters(graph_from=10, threads=1))
    made.apply([Born(content=1, first_chunk=FIRST, vectors=rows(COUNT, seed=1))], [])
    yield made
    made.close()


@pytest.fixture
def graph_is_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """In so small a collection comparing is always faster, and the graph would never be asked."""
    monkeypatch.setattr(filtered_search, "GRAPH_ROWS", 0)


def rows(count: int, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


def in_the_graph(index: DenseIndex) -> None:
    while index.advance(0, 512):
        pass


def of(ids: Ids) -> AllowedChunks:
    return AllowedChunks(ids, np.ones(len(ids), np.uint32))


def find(view: DenseView, queries: Rows, ids: Ids, *, k: int = 10, exact: bool = False) -> list[Found]:
    return filtered_search.search_allowed(
        view, queries, of(ids), k=k, ef=50, exact=exact, live=int(view.slots.alive(view.seq).sum())
    )


def share_of_the_best(view: DenseView, queries: Rows, ids: Ids, found: list[Found], k: int) -> float:
    """Check that what was found passes, each once, by score, and as many as can be; say how much is right."""
    vectors = view.slots.rows[view.slots.slots_of(ids)]
    good = 0
    for query, each in zip(queries, found, strict=True):
        chunks = each.candidates.chunks
        assert len(set(chunks.tolist())) == len(chunks) == min(k, len(ids))
        assert np.isin(chunks, ids).all()
        scores = np.sort(vectors @ query)[::-1][:k]
        assert (np.diff(each.candidates.scores) <= 0).all()
        good += int((each.candidates.scores >= scores[-1:] - 1e-5).sum())
    return good / (min(k, len(ids)) * len(queries))


@pytest.mark.parametrize("share", [0.002, 0.01, 0.1, 0.24, 0.26, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("exact", [False, True])
def test_what_is_compared_is_exact(index: DenseIndex, share: float, exact: bool) -> None:
    in_the_graph(index)
    view = index.view(0)
    ids = FIRST + np.flatnonzero(np.random.default_rng(2).random(COUNT) < share)
    queries = comparable(rows(5), Metric.COSINE)
    found = find(view, queries, ids, exact=exact)
    assert {each.strategy for each in found} == {SearchStrategy.EXACT}
    assert share_of_the_best(view, queries, ids, found, 10) == 1


@pytest.mark.parametrize("rows_a_piece", [1, 7, 10_000])
@pytest.mark.parametrize("rows_a_block", [10, 10_000])
def test_pieces_find_what_the_whole_does(
    index: DenseIndex, monkeypatch: pytest.MonkeyPatch, rows_a_piece: int, rows_a_block: int
) -> None:
    monkeypatch.setattr(filtered_search, "PICKED_VALUES", rows_a_piece * DIMENSION)
    monkeypatch.setattr(filtered_search, "BLOCK_VALUES", rows_a_block * DIMENSION)
    view = index.view(0)
    ids = FIRST + np.flatnonzero(np.random.default_rng(2).random(COUNT) < 0.2)
    queries = comparable(rows(5), Metric.COSINE)
    assert share_of_the_best(view, queries, ids, find(view, queries, ids, exact=True), 10) == 1


def test_a_piece_is_no_memory_that_the_allocator_gives_back_each_time() -> None:
    assert filtered_search.PICKED_VALUES * np.dtype(np.float32).itemsize < LARGE_BYTES


@pytest.mark.usefixtures("graph_is_cheap")
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9, 1.0])
def test_a_filter_beside_the_query_is_the_graph_s(index: DenseIndex, share: float) -> None:
    in_the_graph(index)
    view = index.view(0)
    ids = FIRST + np.flatnonzero(np.random.default_rng(2).random(COUNT) < share)
    queries = comparable(rows(40), Metric.COSINE)
    found = find(view, queries, ids)
    assert SearchStrategy.ANN in {each.strategy for each in found}
    assert share_of_the_best(view, queries, ids, found, 10) >= 0.97


@pytest.mark.usefixtures("graph_is_cheap")
@pytest.mark.parametrize("k", [1, 10, 300])
def test_a_filter_against_the_query_is_compared_after_all(index: DenseIndex, k: int) -> None:
    in_the_graph(index)
    view = index.view(0)
    query = comparable(rows(1, seed=9), Metric.COSINE)
    far = np.argsort(view.slots.rows[:COUNT] @ query[0])[:1000]
    ids = np.sort(FIRST + far)
    (found,) = find(view, query, ids, k=k)
    assert found.strategy is SearchStrategy.ANN_THEN_EXACT
    assert share_of_the_best(view, query, ids, [found], k) == 1


@pytest.mark.usefixtures("graph_is_cheap")
def test_the_tail_and_the_dead_are_seen_as_the_view_sees_them(index: DenseIndex) -> None:
    in_the_graph(index)
    index.apply([Born(content=2, first_chunk=FIRST + COUNT, vectors=rows(300, seed=4))], [])
    index.apply([], [Died(FIRST + COUNT, 100, 5)])
    view = index.view(7)
    index.apply([Born(content=3, first_chunk=FIRST + COUNT + 300, vectors=rows(50, seed=5))], [])
    in_the_graph(index)  # what was born after the view is in the graph, and falls out
    everything = np.arange(FIRST, FIRST + COUNT + 300)
    ids = everything[
        (everything % 2 == 0) & ((everything < FIRST + COUNT) | (everything >= FIRST + COUNT + 100))
    ]
    queries = comparable(rows(40, seed=6), Metric.COSINE)
    found = find(view, queries, ids)
    assert share_of_the_best(view, queries, ids, found, 10) >= 0.97


@pytest.mark.usefixtures("graph_is_cheap")
def test_nothing_passes_and_nothing_is_found(index: DenseIndex) -> None:
    in_the_graph(index)
    (found,) = find(index.view(0), comparable(rows(1), Metric.COSINE), np.empty(0, np.int64))
    assert len(found.candidates.chunks) == 0


def documents(counts: NDArray[np.int64]) -> tuple[Ids, NDArray[np.uint32]]:
    """Documents with so many chunks each, every other one left out, in a random order."""
    firsts = FIRST + np.cumsum(counts) - counts
    order = np.random.default_rng(3).permutation(np.arange(0, len(counts), 2))
    return firsts[order], counts[order].astype(np.uint32)


@pytest.mark.parametrize("span_factor", [16, 0])
def test_allowed_chunks_are_ranges_of_ids(monkeypatch: pytest.MonkeyPatch, span_factor: int) -> None:
    """By a look-up, and where ids are too far apart by a search among them."""
    monkeypatch.setattr("rag_grpc.stores.embedded.allowed_chunks.SPAN_FACTOR", span_factor)
    monkeypatch.setattr("rag_grpc.stores.embedded.allowed_chunks.SPAN_FLOOR", 0)
    firsts, counts = documents(np.random.default_rng(4).integers(1, 6, 100))
    allowed = AllowedChunks(firsts, counts)
    expected = sorted(
        chunk for first, count in zip(firsts, counts, strict=True) for chunk in range(first, first + count)
    )
    assert allowed.ids.tolist() == expected
    assert len(allowed) == len(expected)
    asked = np.random.default_rng(5).integers(FIRST - 50, FIRST + 400, 500)
    assert allowed.mask(asked).tolist() == [chunk in set(expected) for chunk in asked.tolist()]
    assert allowed.mask(np.empty(0, np.int64)).tolist() == []
    in_order = np.unique(asked)
    assert allowed.others(in_order).tolist() == (~allowed.mask(in_order)).tolist()
    for part in (in_order[:0], in_order[:3], in_order[-3:]):
        assert allowed.others(part).tolist() == (~allowed.mask(part)).tolist()
    nothing = AllowedChunks(np.empty(0, np.int64), np.empty(0, np.uint32))
    assert (len(nothing), len(nothing.ids)) == (0, 0)
    assert not nothing.mask(asked).any()
    assert nothing.others(in_order).all()

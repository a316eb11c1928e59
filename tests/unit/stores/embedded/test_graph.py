"""What hnswlib does not check is checked, and what it refuses comes back empty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag_grpc.core.models import Metric
from rag_grpc.stores.embedded.graph import EMPTY_SLOTS, Graph, scores_of
from rag_grpc.stores.embedded.vector_file import Rows


def rows(count: int, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)


def make_graph(count: int = 0, metric: Metric = Metric.EUCLIDEAN) -> Graph:
    graph = Graph(dimension=6, metric=metric, m=8, ef_construction=100, capacity=count)
    if count:
        graph.add(np.arange(100, 100 + count), rows(count), covered=count, threads=1)
    return graph


@pytest.mark.parametrize("shape", [(3, 5), (3, 7), (2, 6), (18,)])
def test_rows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    graph = make_graph()
    with pytest.raises(ValueError, match="rows of shape"):
        graph.add(np.arange(3), np.zeros(shape, dtype=np.float32), covered=3, threads=1)
    assert len(graph) == graph.covered == 0


@pytest.mark.parametrize("shape", [(1, 5), (1, 7), (6,)])
def test_queries_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    graph = make_graph(10)
    with pytest.raises(ValueError, match="queries of shape"):
        graph.nearest(np.zeros(shape, dtype=np.float32), 3)


def test_an_empty_graph_finds_nothing() -> None:
    ids, distances, covered = make_graph().nearest(rows(2), 5)
    assert [len(each) for each in ids] == [len(each) for each in distances] == [0, 0]
    assert covered == 0


def test_asking_for_more_than_there_is_gives_all() -> None:
    graph = make_graph(10)
    graph.mark_dead(np.array([103, 105]))
    (found,), (near,), covered = graph.nearest(rows(1, seed=1), 50)
    assert sorted(found.tolist()) == [100, 101, 102, 104, 106, 107, 108, 109]
    assert near.tolist() == sorted(near.tolist())
    assert covered == 10
    assert (len(graph), graph.marked, graph.unmarked) == (10, 2, 8)


def test_all_dead_finds_nothing() -> None:
    graph = make_graph(5)
    graph.mark_dead(np.arange(100, 105))
    assert [len(each) for each in graph.nearest(rows(1), 3)[0]] == [0]


def test_it_grows_beyond_its_first_capacity() -> None:
    graph = make_graph(10)
    more = EMPTY_SLOTS + 200
    graph.add(np.arange(1000, 1000 + more), rows(more, seed=3), covered=10 + more, threads=2)
    assert len(graph) == 10 + more
    (found,), _, _ = graph.nearest(rows(more, seed=3)[-1:], 100)
    assert found[0] == 1000 + more - 1


def test_covered_grows_without_rows() -> None:
    graph = make_graph(3)
    graph.add(np.empty(0, dtype=np.int64), np.empty((0, 6), dtype=np.float32), covered=9, threads=1)
    assert (len(graph), graph.covered) == (3, 9)


def test_a_row_that_hnswlib_refuses_comes_back_empty_and_the_others_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = make_graph(20)
    real = graph._index

    class Refusing:
        """Finds fewer than k for one query, as a graph with parts that cannot be reached does."""

        element_count = real.element_count

        def knn_query(self, queries: Rows, **arguments: int) -> object:
            if (queries == 0).all(axis=1).any():
                raise RuntimeError("Cannot return the results in a contiguous 2D array")
            return real.knn_query(queries, **arguments)

    monkeypatch.setattr(graph, "_index", Refusing())
    queries = np.stack([rows(20)[4], np.zeros(6, dtype=np.float32), rows(20)[7]])
    ids, distances, _ = graph.nearest(queries, 5)
    assert [len(each) for each in ids] == [len(each) for each in distances] == [5, 0, 5]
    assert (ids[0][0], ids[2][0]) == (104, 107)


def test_a_saved_graph_is_the_same_graph(tmp_path: Path) -> None:
    graph = make_graph(50)
    graph.mark_dead(np.arange(110, 120))
    graph.save(tmp_path / "graph")
    size = graph.file_bytes()
    assert (tmp_path / "graph").stat().st_size == size
    loaded = Graph(
        dimension=6,
        metric=Metric.EUCLIDEAN,
        m=8,
        ef_construction=100,
        capacity=50,
        file=tmp_path / "graph",
    )
    loaded.marked = graph.marked
    ids, distances, _ = graph.nearest(rows(5, 9), 40)
    ids_loaded, distances_loaded, _ = loaded.nearest(rows(5, 9), 40)
    assert np.array_equal(ids, ids_loaded)
    assert np.array_equal(distances, distances_loaded)


def test_scores_are_larger_for_nearer() -> None:
    distances = np.array([0.0, 0.5, 2.0], dtype=np.float32)
    assert scores_of(distances, Metric.EUCLIDEAN).tolist() == [0.0, -0.5, -2.0]
    assert scores_of(distances, Metric.COSINE).tolist() == [1.0, 0.5, -1.0]
    assert scores_of(distances, Metric.DOT).tolist() == [1.0, 0.5, -1.0]


def test_no_cosine_is_beyond_one() -> None:
    distances = np.array([-1e-6, 0.5, 2.00001], dtype=np.float32)
    assert scores_of(distances, Metric.COSINE).tolist() == [1.0, 0.5, -1.0]
    beyond = scores_of(distances, Metric.DOT)
    assert beyond[0] > 1
    assert beyond[2] < -1


def test_memory_is_not_guessed_too_small() -> None:
    few, many = make_graph(10), make_graph(1000)
    assert many.bytes_in_memory() == 100 * few.bytes_in_memory()
    assert many.bytes_in_memory() > 1000 * (6 * 4 + 8 * 8)

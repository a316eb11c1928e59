"""What a row takes by itself is seen through the load of everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag_grpc.core.models import Chunking, Collection, Metric
from rag_grpc.stores.embedded.dense_index import Born, DenseIndex, Died, IndexParameters
from rag_grpc.stores.embedded.graph_pace import FIRST_ROW_SECONDS, GraphPace


def loaded(pace: GraphPace, row: float, *, slices: int = 1500, threads: int = 2, seed: int = 0) -> None:
    """Slices of ten rows that take `row` by themselves, and up to six times as long under load."""
    random = np.random.default_rng(seed)
    for factor in 1 + 5 * random.beta(1.2, 2, slices):
        pace.note(10 * row * float(factor), 10, threads=threads)


@pytest.mark.parametrize("row", [40e-6, 150e-6, 900e-6])
def test_load_does_not_show(row: float) -> None:
    pace = GraphPace(2)
    loaded(pace, row)
    assert row < pace.alone < 2 * row
    assert pace.now > 2 * row


def test_a_slice_on_half_of_the_threads_takes_twice_as_long() -> None:
    pace = GraphPace(2)
    loaded(pace, 400e-6, threads=1)
    assert 200e-6 < pace.alone < 400e-6


def test_rows_that_become_dearer_are_followed() -> None:
    pace = GraphPace(2)
    loaded(pace, 100e-6)
    loaded(pace, 300e-6, seed=1)
    assert 300e-6 < pace.alone < 600e-6


def test_large_slices_are_followed_in_fewer_of_them() -> None:
    """An idle server's have up to 2,048 rows: a whole graph is made in some of those."""
    pace = GraphPace(2)
    for row in np.linspace(20e-6, 100e-6, 75):
        pace.note(1500 * float(row), 1500, threads=2)
    assert 80e-6 < pace.alone < 100e-6


def test_a_few_rows_have_one_thread_whatever_they_were_given() -> None:
    pace = GraphPace(16)
    for _ in range(20_000):
        pace.note(8 * 400e-6, 8, threads=16)
    assert pace.alone == pytest.approx(25e-6, rel=0.1)


def test_rows_that_were_dead_before_their_turn_are_not_counted(tmp_path: Path) -> None:
    collection = Collection(1, "uid", "things", "none", "", 4, Metric.COSINE, Chunking(), "", 0)
    index = DenseIndex(tmp_path / "v.f32", collection, IndexParameters(graph_from=1))
    rows = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    index.apply([Born(content=1, first_chunk=100, vectors=rows)], [Died(100, 15, 1)])
    assert (index.in_graph, index.advance(2, 20), index.in_graph) == (0, 20, 5)
    index.close()


def test_a_slice_of_dead_rows_says_nothing() -> None:
    pace = GraphPace(2)
    pace.note(0.001, 0, threads=2)
    assert pace.now == pace.alone == FIRST_ROW_SECONDS

"""What a row takes by itself is seen through the load of everything else."""

from __future__ import annotations

import numpy as np
import pytest

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


def test_a_slice_of_dead_rows_says_nothing() -> None:
    pace = GraphPace(2)
    pace.note(0.001, 0, threads=2)
    assert pace.now == pace.alone == FIRST_ROW_SECONDS

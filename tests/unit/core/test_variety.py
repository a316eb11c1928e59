"""Maximal marginal relevance, against the definition in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag_grpc.core.models import Metric
from rag_grpc.core.variety import cosines, likeness, varied


def by_definition(relevance: NDArray[np.float32], alike: NDArray[np.float32], diversity: float) -> list[int]:
    """Carbonell and Goldstein's formula, as it stands."""
    taken: list[int] = []
    left = list(range(len(relevance)))
    while left:

        def value(place: int) -> float:
            most = max((float(alike[place][other]) for other in taken), default=0.0)
            return (1 - diversity) * float(relevance[place]) - diversity * most

        best = max(left, key=lambda place: (value(place), -place))
        taken.append(best)
        left.remove(best)
    return taken


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 12),
    diversity=st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]),
    metric=st.sampled_from(Metric),
)
def test_the_order_is_the_definition_s(seed: int, size: int, diversity: float, metric: Metric) -> None:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((size, 6)).astype(np.float32)
    if metric is Metric.COSINE:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    relevance = np.sort(random.standard_normal(size).astype(np.float32))[::-1].copy()
    alike = likeness(vectors, metric)
    places, scores = varied(relevance, alike, diversity=diversity, count=size)
    assert places.tolist() == by_definition(relevance, alike, diversity)
    assert (np.diff(scores) <= 0).all()
    # A shorter answer is the beginning of a longer one.
    for count in range(size):
        head, values = varied(relevance, alike, diversity=diversity, count=count)
        assert head.tolist() == places[:count].tolist()
        assert values.tolist() == scores[:count].tolist()


@pytest.mark.parametrize("metric", list(Metric))
def test_likeness_is_the_metric_s(metric: Metric) -> None:
    vectors = np.array([[3, 4], [3, 4], [4, -3]], np.float32)
    unit = (vectors / 5).astype(np.float32)
    expected = {
        Metric.COSINE: [1, 1, 0],
        Metric.DOT: [25, 25, 0],
        Metric.EUCLIDEAN: [0, 0, -50],
    }[metric]
    row = likeness(unit if metric is Metric.COSINE else vectors, metric)[0]
    assert row.tolist() == pytest.approx(expected, abs=1e-5)
    assert cosines(vectors)[0].tolist() == pytest.approx([1, 1, 0], abs=1e-6)
    assert np.isfinite(cosines(np.zeros((2, 2), np.float32))).all()


def test_a_copy_goes_behind_what_is_new() -> None:
    vectors = np.array([[1, 0], [1, 0], [0.8, 0.6]], np.float32)
    relevance = np.array([0.9, 0.9, 0.75], np.float32)
    places, _ = varied(relevance, likeness(vectors, Metric.COSINE), diversity=0.5, count=3)
    assert places.tolist() == [0, 2, 1]
    places, scores = varied(relevance, likeness(vectors, Metric.COSINE), diversity=0.0, count=3)
    assert (places.tolist(), scores.tolist()) == ([0, 1, 2], pytest.approx([0.9, 0.9, 0.75]))

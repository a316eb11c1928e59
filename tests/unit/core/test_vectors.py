"""Which vectors are taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rag_grpc.core.errors import DimensionMismatch, FieldViolation
from rag_grpc.core.models import Metric
from rag_grpc.core.vectors import MAX_NORM, check_vector, doubtful_rows


def check(values: list[float], metric: Metric = Metric.COSINE) -> FieldViolation | DimensionMismatch | None:
    return check_vector(np.array(values, np.float32), dimension=3, metric=metric, field="vector")


@pytest.mark.parametrize("metric", list(Metric))
def test_an_ordinary_vector_is_taken(metric: Metric) -> None:
    assert check([1, -2, 0.5], metric) is None


@pytest.mark.parametrize("values", [[], [1, 2], [1, 2, 3, 4]])
def test_another_length_is_a_mismatch_that_names_both(values: list[float]) -> None:
    problem = check(values)
    assert isinstance(problem, DimensionMismatch)
    assert problem.metadata == {"dimension": "3", "length": str(len(values))}
    assert problem.violations[0].field == "vector"


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_numbers_must_be_finite(metric: Metric, bad: float) -> None:
    problem = check([1, bad, 0], metric)
    assert isinstance(problem, FieldViolation)
    assert "number 1 is" in problem.description


def test_cosine_needs_a_direction() -> None:
    assert isinstance(check([0, 0, -0.0]), FieldViolation)
    assert check([0, 1e-45, 0]) is None
    assert check([3e38, 3e38, 3e38]) is None


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.EUCLIDEAN])
def test_the_other_metrics_need_a_bounded_length(metric: Metric) -> None:
    assert check([0, 0, 0], metric) is None
    assert check([9e17, 0, 0], metric) is None
    assert isinstance(check([9e17, 9e17, 0], metric), FieldViolation)
    assert isinstance(check([3e38, 3e38, 0], metric), FieldViolation)


def test_scores_at_the_bound_are_finite() -> None:
    longest = np.array([MAX_NORM, 0], np.float32)
    assert np.isfinite(longest @ longest)
    assert np.isfinite(((longest + longest) ** 2).sum())


numbers = st.one_of(
    st.floats(width=32),
    st.sampled_from([0.0, -0.0, 1e-45, 1e-23, 1.0, 5e17, 9e17, 1.1e18, 3e38, float("nan"), float("inf")]),
)


@given(rows=arrays(np.float32, (4, 3), elements=numbers), metric=st.sampled_from(Metric))
def test_the_quick_look_lets_no_bad_row_pass(
    rows: np.ndarray[tuple[int, int], np.dtype[np.float32]], metric: Metric
) -> None:
    doubtful = doubtful_rows(rows, metric)
    for place, row in enumerate(rows):
        if check_vector(row, dimension=3, metric=metric, field="v") is not None:
            assert place in doubtful


def test_the_quick_look_is_content_with_ordinary_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    for metric in Metric:
        assert doubtful_rows(rows, metric) == []

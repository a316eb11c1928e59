"""Which vectors are taken: of the right length, finite, and such that every score is a number.

The bound on the norm is there for float32, in which scores are computed: with norms up
to 1e18 an inner product stays below 1e36 and a squared distance below 4e36, and float32
ends at 3.4e38. Cosine scales every vector, so it needs a direction and no more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.errors import DimensionMismatch, FieldViolation
from rag_grpc.core.models import Metric, Vector

MAX_NORM = 1e18
_ORDINARY_SQUARE = 1e35
"""Below the square of MAX_NORM."""


def check_vector(
    vector: Vector, *, dimension: int, metric: Metric, field: str
) -> FieldViolation | DimensionMismatch | None:
    """Say what is wrong with a vector of shape (n,), None where nothing is. `field` is its path."""
    if len(vector) != dimension:
        text = f"has {len(vector)} numbers; the collection's dimension is {dimension}"
        return DimensionMismatch(
            f"{field}: {text}",
            violations=[FieldViolation(field, text)],
            metadata={"dimension": str(dimension), "length": str(len(vector))},
        )
    # Only finite numbers have an ordinary sum of squares: nearly all vectors end here. Not by `dot`, which
    # warns of an overflow.
    if 0 < float(np.einsum("i,i", vector, vector)) < _ORDINARY_SQUARE:
        return None
    return _irregular(vector, metric, field)


def _irregular(vector: Vector, metric: Metric, field: str) -> FieldViolation | None:
    """Look closely at a vector that is zero, or has a number that is not finite or makes the sum so."""
    if not np.isfinite(vector).all():
        place = int(np.flatnonzero(~np.isfinite(vector))[0])
        return FieldViolation(field, f"number {place} is {vector[place]}; every number must be finite")
    if metric is Metric.COSINE:
        if not vector.any():
            return FieldViolation(
                field, "is zero; cosine needs a direction, so at least one number must not be"
            )
        return None
    if float(np.linalg.norm(vector.astype(np.float64))) > MAX_NORM:
        return FieldViolation(
            field, f"is longer than {MAX_NORM:g}, so that scores would leave float32; scale it"
        )
    return None


def doubtful_rows(rows: NDArray[np.float32], metric: Metric) -> list[int]:
    """Return the places of rows, of shape (n, dimension), that `check_vector` has to look at.

    One pass over all of them: a row whose squared norm is an ordinary number has only finite numbers.
    """
    squares = np.einsum("ij,ij->i", rows, rows)
    fine = squares > 0 if metric is Metric.COSINE else squares < np.float32(MAX_NORM / 2) ** 2
    places: list[int] = np.flatnonzero(~(fine & np.isfinite(squares))).tolist()
    return places

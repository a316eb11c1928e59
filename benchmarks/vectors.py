"""The made-up collection that throughput is measured on: clustered like embeddings, seeded, with truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Vectors:
    """`base` (n, dimension) and `queries` (m, dimension), unit length; `truth` (m, 10): the best scores."""

    base: Rows
    queries: Rows
    truth: Rows


def clustered(count: int, dimension: int = 384, queries: int = 1000) -> Vectors:
    """Make vectors around 100 random unit centres, with Gaussian noise of norm about 1, normalised."""
    random = np.random.default_rng(0)
    centres = unit(random.normal(size=(100, dimension)))

    def draw(rows: int) -> Rows:
        noise = random.normal(size=(rows, dimension)) / np.sqrt(dimension)
        return unit(centres[random.integers(0, 100, rows)] + noise)

    base, asked = draw(count), draw(queries)
    truth = np.vstack([_best(part @ base.T) for part in np.array_split(asked, 10)])
    return Vectors(base, asked, truth)


def recall(scores: Rows, truth: Rows) -> float:
    """Return the share of results at least as good as the tenth of the truth; ties are hits."""
    return float(np.mean(scores >= truth[:, -1:] - 1e-5))


def _best(scores: Rows) -> Rows:
    best = np.partition(scores, -10, axis=1)[:, -10:]
    return np.sort(best, axis=1)[:, ::-1]


def unit(rows: NDArray[np.float64]) -> Rows:
    """Scale rows to length one."""
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)

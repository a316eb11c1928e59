"""Rows of vectors, and the ones nearest to a query by comparing them all.

What the memory store searches. Rows are appended, in order of chunk id; removed rows
are marked, and squeezed out when they are as many as the live ones, so that a write
costs its own size and no more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.models import Metric, Vector
from rag_grpc.core.searches import Candidates

_FIRST_CAPACITY = 16


class ExactMatrix:
    """Vectors of one collection, by chunk id."""

    def __init__(self, dimension: int, metric: Metric) -> None:
        self._metric = metric
        self._size = 0
        self._dead = 0
        self._rows = np.empty((_FIRST_CAPACITY, dimension), np.float32)
        self._chunks = np.empty(_FIRST_CAPACITY, np.int64)
        self._documents = np.empty(_FIRST_CAPACITY, np.int64)
        self._live = np.empty(_FIRST_CAPACITY, np.bool_)

    def append(self, vectors: NDArray[np.float32], *, first_chunk: int, document: int) -> None:
        """Add rows of shape (n, dimension) with chunk ids from `first_chunk` on, above all before."""
        count = len(vectors)
        begin, end = self._size, self._size + count
        self._reserve(end)
        self._rows[begin:end] = _unit(vectors) if self._metric is Metric.COSINE else vectors
        self._chunks[begin:end] = np.arange(first_chunk, first_chunk + count)
        self._documents[begin:end] = document
        self._live[begin:end] = True
        self._size = end

    def remove(self, *, first_chunk: int, count: int) -> None:
        """Take out the `count` rows from `first_chunk` on, which were appended together."""
        begin = int(np.searchsorted(self._chunks[: self._size], first_chunk))
        self._live[begin : begin + count] = False
        self._dead += count
        if self._dead > max(_FIRST_CAPACITY, self._size // 2):
            self._squeeze()

    def nearest(self, vector: Vector, count: int, wanted: NDArray[np.int64] | None = None) -> Candidates:
        """Find the `count` best rows, or all where there are fewer: by score, then by chunk id.

        Where `wanted` is given, among these chunks alone.
        """
        live = np.flatnonzero(self._live[: self._size])
        if wanted is not None:
            live = live[np.isin(self._chunks[live], wanted)]
        scores = self._scores(vector)[live]
        if count < len(live):
            # Everything as good as the last one in is kept, so that ties are cut by chunk id below.
            bound = np.partition(scores, len(scores) - count)[len(scores) - count]
            inside = scores >= bound
            live, scores = live[inside], scores[inside]
        chunks = self._chunks[live]
        order = np.lexsort((chunks, -scores))[:count]
        return Candidates(chunks[order], self._documents[live[order]], scores[order])

    def rows_of(self, chunks: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the rows of these chunks, as they are compared: shape (n, dimension)."""
        return self._rows[np.searchsorted(self._chunks[: self._size], chunks)]

    def _scores(self, vector: Vector) -> NDArray[np.float32]:
        rows = self._rows[: self._size]
        if self._metric is Metric.EUCLIDEAN:
            # Not by |a|^2 + |b|^2 - 2ab: that loses the small distances, which are the ones that matter.
            difference = rows - vector
            distances: NDArray[np.float32] = np.einsum("ij,ij->i", difference, difference)
            return -distances
        if self._metric is Metric.COSINE:
            vector = _unit(vector[np.newaxis])[0]
        scores: NDArray[np.float32] = rows @ vector
        # The last digit of a product of unit vectors can be above 1, which no cosine is.
        return np.clip(scores, -1, 1) if self._metric is Metric.COSINE else scores

    def _reserve(self, size: int) -> None:
        capacity = len(self._rows)
        if size > capacity:
            self._move(max(size, 2 * capacity), slice(0, self._size))

    def _squeeze(self) -> None:
        kept = np.flatnonzero(self._live[: self._size])
        self._move(max(_FIRST_CAPACITY, 2 * len(kept)), kept)
        self._size, self._dead = len(kept), 0

    def _move(self, capacity: int, kept: slice | NDArray[np.int64]) -> None:
        for name in ("_rows", "_chunks", "_documents", "_live"):
            old: NDArray[np.generic] = getattr(self, name)
            part = old[kept]
            new = np.empty((capacity, *old.shape[1:]), old.dtype)
            new[: len(part)] = part
            setattr(self, name, new)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    # In float64: squares of float32 numbers below 1e-23 or above 1e19 leave float32.
    wide = vectors.astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    return (wide / np.where(norms > 0, norms, 1)[:, np.newaxis]).astype(np.float32)

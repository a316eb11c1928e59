"""The chunks that a filter lets through in one view: what each side of a search asks of it.

A document's chunks have ids in a row, so what passes is a set of ranges. It is turned
into what a question needs when the question comes: a sorted array of ids where few
pass and all are looked at, or one byte for each id from the first to the last, which
answers for many ids at once by a look-up.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rag_grpc.stores.embedded.vector_file import Ids

SPAN_FACTOR = 16
"""A byte for each id is made where ids span at most so many times the chunks that pass, or SPAN_FLOOR."""
SPAN_FLOOR = 4_000_000


class AllowedChunks:
    """Chunks by id. Immutable; what is computed is kept."""

    def __init__(self, firsts: Ids, counts: NDArray[np.uint32]) -> None:
        """Take a document's first chunk id and how many it has; both (n,), in any order, without overlap."""
        order = np.argsort(firsts)
        self._firsts = firsts[order]
        self._counts = counts[order].astype(np.int64)
        self._size = int(counts.sum())

    def __len__(self) -> int:
        """How many chunks pass."""
        return self._size

    @cached_property
    def ids(self) -> Ids:
        """All of them, in order: int64, (len(self),)."""
        if self._size == len(self._firsts):
            return self._firsts
        begins = np.cumsum(self._counts) - self._counts
        return np.repeat(self._firsts - begins, self._counts) + np.arange(self._size)

    def mask(self, chunks: Ids) -> NDArray[np.bool_]:
        """Say of each of these chunk ids, in any order, whether it passes: bool, (len(chunks),)."""
        if not self._size or not len(chunks):
            return np.zeros(len(chunks), np.bool_)
        table = self._table
        if table is None:
            places = np.minimum(np.searchsorted(self.ids, chunks), self._size - 1)
            return np.asarray(self.ids[places] == chunks)
        places = chunks - int(self._firsts[0])
        inside = (places >= 0) & (places < len(table))
        return table[np.where(inside, places, 0)] & inside

    def others(self, chunks: Ids) -> NDArray[np.bool_]:
        """Say of each of these chunk ids, in ascending order, whether it does not pass: bool, (len(chunks),).

        For all that a collection has: where they lie in order, none needs a look at both bounds.
        """
        table = self._table if self._size else None
        if table is None:
            return ~self.mask(chunks)
        first = int(self._firsts[0])
        begin, end = np.searchsorted(chunks, (first, first + len(table)))
        found = np.ones(len(chunks), np.bool_)
        np.logical_not(table[chunks[begin:end] - first], out=found[begin:end])
        return found

    @cached_property
    def _table(self) -> NDArray[np.bool_] | None:
        """One entry for each id from the first that passes to the last; None where that is too many."""
        first = int(self._firsts[0])
        span = int(self._firsts[-1] + self._counts[-1]) - first
        if span > max(SPAN_FLOOR, SPAN_FACTOR * self._size):
            return None
        table = np.zeros(span, np.bool_)
        table[self.ids - first] = True
        return table

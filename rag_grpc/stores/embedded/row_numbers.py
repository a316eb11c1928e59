"""Row numbers of values that came one after the other.

Those of a key that all documents have come without gaps, and take no memory at all.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from rag_grpc.stores.embedded.kept_parts import PartsIn, PartsOut


class RowNumbers:
    """A run from a first one on; from the first gap, or the first row that comes twice, an array."""

    __slots__ = ("_count", "_first", "_rows")

    def __init__(self) -> None:
        self._first = self._count = 0
        self._rows: array[int] | None = None

    def append(self, row: int) -> None:
        """Add one at the end."""
        if self._rows is not None:
            self._rows.append(row)
        elif not self._count:
            self._first, self._count = row, 1
        elif row == self._first + self._count:
            self._count += 1
        else:
            self._rows = array("I", range(self._first, self._first + self._count))
            self._rows.append(row)

    def numbers(self) -> NDArray[np.uint32]:
        """Return all of them, a copy."""
        if self._rows is None:
            return np.arange(self._first, self._first + self._count, dtype=np.uint32)
        return np.frombuffer(self._rows.tobytes(), np.uint32)

    def write(self, out: PartsOut) -> None:
        """Write all of it."""
        out.value([self._first, self._count, self._rows is not None])
        if self._rows is not None:
            out.numbers(self._rows)

    def read(self, parts: PartsIn) -> None:
        """Read it into this one, which is empty."""
        self._first, self._count, gaps = parts.value()
        self._rows = parts.numbers("I") if gaps else None

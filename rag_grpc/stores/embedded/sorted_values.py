"""The values that one key has over all documents, sorted, with the row of each.

One structure answers = and the orders alike: two bisections give a slice of rows, which
becomes a bitmap. It takes four bytes a row beside what a column of values takes, whether
a key has two of them or a million; a bitmap for each value would take hundreds of bytes
for each of the million. For the few values that are asked for again and again the
bitmaps are kept.

New values go to an unsorted tail that every question goes through; when it is an
eighth of the whole it is sorted in, by whoever asks: ingest never waits for it, and a
key that no filter names is never sorted.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from rag_grpc.core.filters import Operator
from rag_grpc.stores.embedded.kept_parts import PartsIn, PartsOut
from rag_grpc.stores.embedded.row_numbers import RowNumbers
from rag_grpc.stores.embedded.value_columns import Column, Key

TAIL_ROWS = 256
TAIL_SHARE = 8
KEPT_BITMAPS = 32

_HOLDS: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQUAL: operator.eq,
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.GREATER: operator.gt,
    Operator.AT_LEAST: operator.ge,
}

C = TypeVar("C", bound=Column)


class SortedValues(Generic[C]):
    """Values of one type with their rows. Not safe to use from two threads at once: the index has a lock."""

    __slots__ = ("_kept", "_new_column", "_rows", "_tail", "_tail_rows", "_values")

    def __init__(self, new_column: Callable[[], C]) -> None:
        """Begin empty; `new_column` makes what values of this type are kept in."""
        self._new_column = new_column
        self._values = new_column()
        self._rows = array("I")
        self._tail = new_column()
        self._tail_rows = RowNumbers()
        self._kept: dict[tuple[Operator, object], BitMap] = {}

    def add(self, value: object, row: int) -> None:
        """Note that a row has a value."""
        self._tail.append(value)
        self._tail_rows.append(row)

    def select(self, comparator: Operator, value: Any, key: Key | None = None) -> BitMap:
        """Return the rows whose values compare so.

        `key`, which keeps their order, is applied to the values first. UNEQUAL is not answered here: it
        asks of values of other types as well.
        """
        if len(self._tail) > max(TAIL_ROWS, len(self._values) // TAIL_SHARE):
            self._sort_in()
        rows = self._from_sorted(comparator, value, key)
        if not len(self._tail):
            return rows
        holds = _HOLDS[comparator]
        if key is None:
            found = self._tail.holding(lambda each: holds(each, value))
        else:
            found = self._tail.holding(lambda each: holds(key(each), value))
        if not found.any():
            return rows
        return rows | BitMap(_array(self._tail_rows.numbers()[found]))

    def _from_sorted(self, comparator: Operator, value: Any, key: Key | None) -> BitMap:
        kept = self._kept.get((comparator, value)) if key is None else None
        if kept is not None:
            return kept
        begin, end = 0, len(self._values)
        match comparator:
            case Operator.EQUAL:
                begin, end = self._values.left(value, key), self._values.right(value, key)
            case Operator.LESS:
                end = self._values.left(value, key)
            case Operator.AT_MOST:
                end = self._values.right(value, key)
            case Operator.GREATER:
                begin = self._values.right(value, key)
            case _:
                begin = self._values.left(value, key)
        rows = BitMap(self._rows[begin:end])
        if key is None:
            if len(self._kept) >= KEPT_BITMAPS:
                self._kept.clear()
            self._kept[comparator, value] = rows
        return rows

    def _sort_in(self) -> None:
        rows = np.concatenate([np.frombuffer(self._rows.tobytes(), np.uint32), self._tail_rows.numbers()])
        self._values, order = self._values.sorted_with(self._tail)
        self._rows = _array(rows[order])
        self._tail, self._tail_rows = self._new_column(), RowNumbers()
        self._kept.clear()

    def renumbered(self, numbers: NDArray[np.int64]) -> SortedValues[C]:
        """Return the same with other row numbers: `numbers` by the old ones, -1 for rows that are gone."""
        fresh = SortedValues(self._new_column)
        self._sort_in()
        rows = numbers[np.frombuffer(self._rows.tobytes(), np.uint32)]
        living = rows >= 0
        fresh._values = self._values.chosen(living)
        fresh._rows = _array(rows[living].astype(np.uint32))
        return fresh

    def write(self, out: PartsOut) -> None:
        """Write all of it."""
        self._values.write(out)
        out.numbers(self._rows)
        self._tail.write(out)
        self._tail_rows.write(out)

    def read(self, parts: PartsIn) -> None:
        """Read it into this one, which is empty."""
        self._values.read(parts)
        self._rows = parts.numbers("I")
        self._tail.read(parts)
        self._tail_rows.read(parts)


def _array(numbers: NDArray[Any]) -> array[Any]:
    made = array("I")
    made.frombytes(numbers.tobytes())
    return made

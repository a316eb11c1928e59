"""The values that one key has over all documents, sorted, with the row of each.

One structure answers = and the orders alike: two bisections give a slice of rows, which
becomes a bitmap. It takes eight bytes a number or a reference, and four a row, whether
a key has two values or a million; a bitmap for each value would take hundreds of bytes
for each of the million. For the few values that are asked for again and again the
bitmaps are kept.

New values go to an unsorted tail that every question goes through; when it is an
eighth of the whole it is sorted in, by whoever asks: ingest never waits for it, and a
key that no filter names is never sorted.
"""

from __future__ import annotations

import operator
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, MutableSequence, Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from rag_grpc.core.filters import Operator

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


class SortedValues:
    """Values of one type with their rows. Not safe to use from two threads at once: the index has a lock."""

    __slots__ = ("_kept", "_rows", "_tail", "_tail_rows", "_typecode", "_values")

    def __init__(self, typecode: str = "") -> None:
        """Begin empty. `typecode` is array.array's for numbers; without one values are any objects."""
        self._typecode = typecode
        self._values: MutableSequence[Any] = self._sequence()
        self._rows = array("I")
        self._tail: MutableSequence[Any] = self._sequence()
        self._tail_rows = array("I")
        self._kept: dict[tuple[Operator, object], BitMap] = {}

    def _sequence(self) -> MutableSequence[Any]:
        return array(self._typecode) if self._typecode else []

    def add(self, value: object, row: int) -> None:
        """Note that a row has a value."""
        self._tail.append(value)
        self._tail_rows.append(row)

    def select(self, comparator: Operator, value: Any, key: Callable[[Any], Any] | None = None) -> BitMap:
        """Return the rows whose values compare so.

        `key`, which keeps their order, is applied to the values first. UNEQUAL is not answered here: it
        asks of values of other types as well.
        """
        if len(self._tail) > max(TAIL_ROWS, len(self._values) // TAIL_SHARE):
            self._sort_in()
        rows = self._from_sorted(comparator, value, key)
        if not self._tail:
            return rows
        holds = _HOLDS[comparator]
        tail = self._tail if key is None else map(key, self._tail)
        found = array("I", compress(self._tail_rows, (holds(each, value) for each in tail)))
        return rows | BitMap(found) if found else rows

    def _from_sorted(self, comparator: Operator, value: Any, key: Callable[[Any], Any] | None) -> BitMap:
        kept = self._kept.get((comparator, value)) if key is None else None
        if kept is not None:
            return kept
        begin, end = 0, len(self._values)
        match comparator:
            case Operator.EQUAL:
                begin, end = (
                    bisect_left(self._values, value, key=key),
                    bisect_right(self._values, value, key=key),
                )
            case Operator.LESS:
                end = bisect_left(self._values, value, key=key)
            case Operator.AT_MOST:
                end = bisect_right(self._values, value, key=key)
            case Operator.GREATER:
                begin = bisect_right(self._values, value, key=key)
            case _:
                begin = bisect_left(self._values, value, key=key)
        rows = BitMap(self._rows[begin:end])
        if key is None:
            if len(self._kept) >= KEPT_BITMAPS:
                self._kept.clear()
            self._kept[comparator, value] = rows
        return rows

    def _sort_in(self) -> None:
        values = self._values + self._tail  # type: ignore[operator]  # two lists, or two arrays of one type
        rows = np.frombuffer((self._rows + self._tail_rows).tobytes(), np.uint32)
        if self._typecode:
            numbers = np.frombuffer(values.tobytes(), np.dtype(self._typecode))
            order = np.argsort(numbers, kind="stable")
            self._values = _array(self._typecode, numbers[order])
            self._rows = _array("I", rows[order])
        else:
            self._values, self._rows = _grouped(values, rows.tolist())
        self._tail, self._tail_rows = self._sequence(), array("I")
        self._kept.clear()

    def renumbered(self, numbers: NDArray[np.int64]) -> SortedValues:
        """Return the same with other row numbers: `numbers` by the old ones, -1 for rows that are gone."""
        fresh: SortedValues = SortedValues(self._typecode)
        self._sort_in()
        rows = numbers[np.frombuffer(self._rows.tobytes(), np.uint32)]
        living = rows >= 0
        fresh._values = self._sequence()
        fresh._values.extend(compress(self._values, living.tolist()))
        fresh._rows = _array("I", rows[living].astype(np.uint32))
        return fresh


def _array(typecode: str, numbers: NDArray[Any]) -> array[Any]:
    made = array(typecode)
    made.frombytes(numbers.tobytes())
    return made


def _grouped(values: Sequence[Any], rows: Sequence[int]) -> tuple[list[Any], array[int]]:
    """Sort values with their rows; equal values become one object: "en" a million times is one text.

    Value by value, because most texts come often, and because the one step that holds Python up, the
    sort, is then as short as it can be.
    """
    groups: dict[Any, list[int]] = defaultdict(list)
    for value, row in zip(values, rows, strict=True):
        groups[value].append(row)
    sorted_values: list[Any] = []
    sorted_rows = array("I")
    for value in sorted(groups):
        group = groups[value]
        sorted_values += [value] * len(group)
        sorted_rows.extend(group)
    return sorted_values, sorted_rows

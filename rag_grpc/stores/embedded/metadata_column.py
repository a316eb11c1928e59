"""One key of the metadata over all documents: which rows have it, and with which values.

Documents may bring keys that no other one has, some ten thousand each. So a key that few
rows have costs as little as its values; what makes many rows quick, and takes 2 KB a key
when it is empty, is made when the rows are more.
"""

from __future__ import annotations

from array import array
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from rag_grpc.core.filters import Instant, Operator, Scalar, holds, instant_of
from rag_grpc.core.models import JsonValue
from rag_grpc.stores.embedded.kept_parts import PartsIn, PartsOut
from rag_grpc.stores.embedded.sorted_values import SortedValues
from rag_grpc.stores.embedded.value_columns import NumberColumn, TextColumn

FEW = 8
"""Up to so many rows, values are kept as they are, and compared one by one."""
_EARLIEST = 10**12
"""Seconds before 1970 that no timestamp with a year of four digits reaches."""


class Values:
    """Values of one kind: those that stand under a key itself, or those in its lists.

    Texts and timestamps are two kinds, because two timestamps compare by time; a timestamp is among the
    texts as well, for comparisons with what is none.
    """

    __slots__ = ("false", "instants", "numbers", "stamps", "texts", "true")

    def __init__(self) -> None:
        self.true = BitMap()
        self.false = BitMap()
        self.numbers = SortedValues(partial(NumberColumn, "d"))
        self.texts = SortedValues(TextColumn)
        self.instants = SortedValues(TextColumn)
        self.stamps = BitMap()
        """Rows with a timestamp."""

    def add(self, value: JsonValue, row: int) -> None:
        """Note a value; lists, objects and null are none."""
        if isinstance(value, str):
            self.texts.add(value, row)
            # Reading an id as a timestamp, to no avail, takes longer than all the rest.
            dated = value[:1] in "0123456789" and value[-1:] in "zZ0123456789"
            instant = instant_of(value) if dated else None
            if instant is not None:
                self.instants.add(_in_order(instant), row)
                self.stamps.add(row)
        elif isinstance(value, bool):
            (self.true if value else self.false).add(row)
        elif isinstance(value, int | float):
            self.numbers.add(float(value), row)

    def select(self, comparator: Operator, value: Scalar) -> BitMap:
        """Return the rows with a value that compares so; see SortedValues.select."""
        if isinstance(value, bool):
            return self.true if value else self.false
        if not isinstance(value, str):
            return self.numbers.select(comparator, value)
        instant = instant_of(value)
        if instant is None:
            return self.texts.select(comparator, value)
        by_time = self.instants.select(comparator, _in_order(instant))
        if comparator is Operator.EQUAL:
            return by_time
        return by_time | (self.texts.select(comparator, value) - self.stamps)

    def renumbered(self, numbers: NDArray[np.int64]) -> Values:
        """Return the same with other row numbers; see SortedValues."""
        fresh = Values()
        fresh.true, fresh.false = renumbered(self.true, numbers), renumbered(self.false, numbers)
        fresh.numbers = self.numbers.renumbered(numbers)
        fresh.texts = self.texts.renumbered(numbers)
        fresh.instants = self.instants.renumbered(numbers)
        fresh.stamps = renumbered(self.stamps, numbers)
        return fresh

    def write(self, out: PartsOut) -> None:
        """Write all of it."""
        for rows in (self.true, self.false, self.stamps):
            out.rows(rows)
        for values in (self.numbers, self.texts, self.instants):
            values.write(out)

    @classmethod
    def read(cls, parts: PartsIn) -> Values:
        """Read it."""
        made = cls()
        made.true, made.false, made.stamps = parts.rows(), parts.rows(), parts.rows()
        for values in (made.numbers, made.texts, made.instants):
            values.read(parts)
        return made


class ManyValues:
    """What stands under a key that many rows have. The parts that it never has are never made."""

    __slots__ = ("_items", "_scalars", "_values", "present")

    def __init__(self) -> None:
        self.present = BitMap()
        self._scalars = BitMap()
        """Rows with a text, a number or a boolean: what comparisons know."""
        self._values: Values | None = None
        self._items: Values | None = None

    def add(self, value: JsonValue, row: int) -> None:
        """Note what a row has."""
        self.present.add(row)
        if isinstance(value, list):
            if self._items is None:
                self._items = Values()
            for item in value:
                self._items.add(item, row)
        elif not isinstance(value, dict):
            self._scalars.add(row)
            if self._values is None:
                self._values = Values()
            self._values.add(value, row)

    def compare(self, comparator: Operator, value: Scalar) -> BitMap:
        """Return the rows that compare so, as filters.holds says."""
        if self._values is None:
            return BitMap()
        if comparator is Operator.UNEQUAL:
            return self._scalars - self._values.select(Operator.EQUAL, value)
        return self._values.select(comparator, value)

    def contains(self, value: Scalar) -> BitMap:
        """Return the rows with that value, or a list that holds it."""
        parts = [
            each.select(Operator.EQUAL, value) for each in (self._values, self._items) if each is not None
        ]
        return BitMap.union(*parts) if parts else BitMap()

    def renumbered(self, numbers: NDArray[np.int64]) -> ManyValues:
        """Return the same with other row numbers; see SortedValues."""
        fresh = ManyValues()
        fresh.present, fresh._scalars = renumbered(self.present, numbers), renumbered(self._scalars, numbers)
        fresh._values = None if self._values is None else self._values.renumbered(numbers)
        fresh._items = None if self._items is None else self._items.renumbered(numbers)
        return fresh

    def write(self, out: PartsOut) -> None:
        """Write all of it."""
        out.rows(self.present)
        out.rows(self._scalars)
        for values in (self._values, self._items):
            out.value(values is not None)
            if values is not None:
                values.write(out)

    @classmethod
    def read(cls, parts: PartsIn) -> ManyValues:
        """Read it."""
        made = cls()
        made.present, made._scalars = parts.rows(), parts.rows()
        made._values, made._items = (Values.read(parts) if parts.value() else None for _ in range(2))
        return made


class MetadataColumn:
    """What stands under one key."""

    __slots__ = ("_few", "_many")

    def __init__(self) -> None:
        self._few: list[tuple[JsonValue, int]] = []
        self._many: ManyValues | None = None

    def add(self, value: JsonValue, row: int) -> None:
        """Note what a row has; null is nothing."""
        if value is None:
            return
        if self._many is None:
            self._few.append((_comparable(value), row))
            if len(self._few) > FEW:
                self._spread()
        else:
            self._many.add(value, row)

    def _spread(self) -> None:
        self._many = ManyValues()
        for value, row in self._few:
            self._many.add(value, row)
        self._few = []

    @property
    def present(self) -> BitMap:
        """The rows that have the key."""
        return BitMap([row for _, row in self._few]) if self._many is None else self._many.present

    def compare(self, comparator: Operator, value: Scalar) -> BitMap:
        """Return the rows that compare so, as filters.holds says."""
        if self._many is None:
            return BitMap([row for found, row in self._few if holds(found, comparator, value)])
        return self._many.compare(comparator, value)

    def contains(self, value: Scalar) -> BitMap:
        """Return the rows with that value, or a list that holds it."""
        if self._many is None:
            return BitMap([row for found, row in self._few if _holds_one(found, value)])
        return self._many.contains(value)

    def renumbered(self, numbers: NDArray[np.int64]) -> MetadataColumn:
        """Return the same with other row numbers; see SortedValues."""
        fresh = MetadataColumn()
        if self._many is None:
            fresh._few = [(value, int(numbers[row])) for value, row in self._few if numbers[row] >= 0]
        else:
            fresh._many = self._many.renumbered(numbers)
        return fresh

    def write(self, out: PartsOut) -> None:
        """Write all of it."""
        out.value(None if self._many is not None else self._few)
        if self._many is not None:
            self._many.write(out)

    @classmethod
    def read(cls, parts: PartsIn) -> MetadataColumn:
        """Read it."""
        made = cls()
        few = parts.value()
        if few is None:
            made._many = ManyValues.read(parts)
        else:
            made._few = [(value, row) for value, row in few]
        return made


def _comparable(value: JsonValue) -> JsonValue:
    """Leave out what no filter asks for under this key, and would be kept in memory for nothing."""
    if isinstance(value, dict):
        return {}
    if isinstance(value, list):
        return [each for each in value if not isinstance(each, dict | list)]
    return value


def _in_order(instant: Instant) -> str:
    """Write a moment as a text that sorts as moments do."""
    seconds, decimals = instant
    return f"{seconds + _EARLIEST:014d}{decimals}"


def _holds_one(found: JsonValue, value: Scalar) -> bool:
    items = found if isinstance(found, list) else [found]
    return any(holds(each, Operator.EQUAL, value) for each in items)


def renumbered(rows: BitMap, numbers: NDArray[np.int64]) -> BitMap:
    """Return rows under other numbers; -1 are gone."""
    moved = numbers[np.frombuffer(rows.to_array(), np.uint32)]
    made = array("I")
    made.frombytes(moved[moved >= 0].astype(np.uint32).tobytes())
    return BitMap(made)

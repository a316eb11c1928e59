"""How filters compare the times of documents: kept as nanoseconds, seen as texts."""

from __future__ import annotations

from fractions import Fraction

from pyroaring import BitMap

from rag_grpc.core.filters import Instant, Operator, Scalar, instant_of, timestamp
from rag_grpc.stores.embedded.sorted_values import SortedValues
from rag_grpc.stores.embedded.value_columns import NumberColumn

_NANOSECONDS = 10**9


def compared(values: SortedValues[NumberColumn], comparator: Operator, value: Scalar) -> BitMap:
    """Return the rows whose time compares so."""
    if not isinstance(value, str):
        return BitMap()
    instant = instant_of(value)
    if instant is None:
        return values.select(comparator, value, timestamp)
    return values.select(comparator, _nanoseconds(instant))


def _nanoseconds(instant: Instant) -> Fraction:
    """Return a moment in nanoseconds, of which a filter may name a part."""
    seconds, decimals = instant
    return seconds * _NANOSECONDS + Fraction(int(decimals or "0"), 10 ** len(decimals)) * _NANOSECONDS

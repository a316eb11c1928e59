"""Filters as trees, and what they mean.

`proto/ragapi/v1/retrieval_service.proto` defines the language; `filter_language`
reads its texts into these trees. `matches` is the meaning, in the plainest way:
every store turns a tree into whatever it is fast at (bitmaps, SQL, an expression of
another system), and tests hold that to this function.

Decisions where the contract leaves room:

* Null is nothing: a key whose value is null is not there, on any level.
* A document's own fields are always there, a title that nobody set as the empty text.
* `create_time` and `update_time` are texts like any other, RFC 3339 in UTC with nine
  decimals. So they compare by time with a timestamp, and "2026-01-01" is a bound as well.
* A leap second is the second that follows it, as on every clock that computers keep.
* Lists and objects know `:` alone, so `tags != "a"` never holds where `tags` is a list;
  `NOT tags:"a"` is what is meant.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from rag_grpc.core.models import JsonValue, MetadataDict

Scalar: TypeAlias = "str | float | bool"
"""A value that a filter compares with. Never an int: JSON has one kind of number, a double."""

Instant: TypeAlias = "tuple[int, str]"
"""A moment: seconds since the epoch, and the decimals behind them without zeros at the end.

Exact at any number of decimals, and two of them compare as the moments do."""

OWN_FIELDS = ("doc_id", "title", "create_time", "update_time")
METADATA = "metadata"
"""In front of a dot it leads into the metadata: `metadata.title` is a key there."""

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
"""The calendar repeats itself after so many years; Python knows no year 0, RFC 3339 does."""
_NANOSECONDS = 10**9


class Operator(Enum):
    """How two values are compared."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="


_HOLDS: dict[Operator, Callable[[int, int], bool]] = {
    Operator.EQUAL: operator.eq,
    Operator.UNEQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.GREATER: operator.gt,
    Operator.AT_LEAST: operator.ge,
}


@dataclass(frozen=True, slots=True)
class Name:
    """What a filter looks at: one of OWN_FIELDS where `own`, else a path of keys into the metadata."""

    path: tuple[str, ...]
    own: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """`name operator value`. A boolean goes with EQUAL and UNEQUAL alone."""

    name: Name
    operator: Operator
    value: Scalar


@dataclass(frozen=True, slots=True)
class Contains:
    """`name:value`: it is the value, or a list that holds it."""

    name: Name
    value: Scalar


@dataclass(frozen=True, slots=True)
class Present:
    """`name:*`: it is there."""

    name: Name


@dataclass(frozen=True, slots=True)
class Not:
    """NOT `term`."""

    term: Filter


@dataclass(frozen=True, slots=True)
class And:
    """All of `terms`, two or more."""

    terms: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of `terms` at least, two or more."""

    terms: tuple[Filter, ...]


Filter: TypeAlias = Comparison | Contains | Present | Not | And | Or
"""A filter. `filter_language.parse` bounds its depth, so that functions over it may recurse."""


class Facts(NamedTuple):
    """What a filter can ask of a document. Times are nanoseconds since the epoch."""

    doc_id: str
    title: str
    create_time: int
    update_time: int
    metadata: MetadataDict


def matches(filter_: Filter, facts: Facts) -> bool:
    """Whether a document passes."""
    match filter_:
        case And(terms):
            return all(matches(term, facts) for term in terms)
        case Or(terms):
            return any(matches(term, facts) for term in terms)
        case Not(term):
            return not matches(term, facts)
        case Present(name):
            return value_of(name, facts) is not None
        case Comparison(name, comparator, value):
            return holds(value_of(name, facts), comparator, value)
        case Contains(name, value):
            found = value_of(name, facts)
            items = found if isinstance(found, list) else [found]
            return any(holds(item, Operator.EQUAL, value) for item in items)


def value_of(name: Name, facts: Facts) -> JsonValue:
    """What stands under a name, None where nothing does."""
    if name.own:
        own: str | int = getattr(facts, name.path[0])
        return own if isinstance(own, str) else timestamp(own)
    found: JsonValue = facts.metadata
    for key in name.path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def holds(found: JsonValue, comparator: Operator, value: Scalar) -> bool:
    """Whether `found comparator value`; for nothing (None), a list and an object nothing holds."""
    if found is None or isinstance(found, list | dict):
        return False
    order = compare(found, value)
    if order is None:
        return comparator is Operator.UNEQUAL
    return _HOLDS[comparator](order, 0)


def compare(one: Scalar, other: Scalar) -> int | None:
    """Negative, 0 or positive as `one` is less than, equal to or more than `other`; None across types."""
    if isinstance(one, str) and isinstance(other, str):
        instants = instant_of(one), instant_of(other)
        if instants[0] is not None and instants[1] is not None:
            return (instants[0] > instants[1]) - (instants[0] < instants[1])
        return (one > other) - (one < other)
    if isinstance(one, str) or isinstance(other, str) or isinstance(one, bool) is not isinstance(other, bool):
        return None
    return (one > other) - (one < other)


@lru_cache(maxsize=4096)
def instant_of(text: str) -> Instant | None:
    """Read an RFC 3339 timestamp; None for every other text."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    decimals, sign, offset_hours, offset_minutes = found.groups()[6:]
    try:
        days = date(year or _CYCLE_YEARS, month, day).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        return None
    if not year:
        days -= _CYCLE_DAYS
    minutes = hour * 60 + minute
    if hour > 23 or minute > 59:  # noqa: PLR2004 - what a clock shows
        return None
    if sign is not None:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:  # noqa: PLR2004 - as above
            return None
        offset = int(offset_hours) * 60 + int(offset_minutes)
        minutes += -offset if sign == "+" else offset
    leap = second == 60 and minutes % (24 * 60) == 24 * 60 - 1  # noqa: PLR2004 - the last minute of a day
    if second > 59 and not leap:  # noqa: PLR2004 - as above
        return None
    return days * 86_400 + minutes * 60 + second, (decimals or "").rstrip("0")


def timestamp(nanoseconds: int) -> str:
    """Write a moment as the text that filters see; such texts sort as their moments do."""
    seconds, rest = divmod(nanoseconds, _NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()}.{rest:09d}Z"

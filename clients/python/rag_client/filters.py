"""Filters from Python values: no quoting by hand, and no value that ends a string and begins a filter.

    year, tags = Field("year"), Field("tags")
    client.query("hello", filter=(year >= 2020) & ~tags.contains("draft"))

A Condition is the filter's text, so it goes wherever a text goes, and can be printed. The parentheses around
each comparison are Python's: `&` binds closer than `>=`. What Python cannot overload is refused, lest it
mislead: `and`, `or`, `not` and `1 < field < 3` ask whether a Condition is true, which raises TypeError.
"""

from __future__ import annotations

import json
import math
import operator
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Self, TypeAlias

from rag_client.structs import EXACT

if TYPE_CHECKING:
    from collections.abc import Iterable

FilterValue: TypeAlias = "str | bool | float | datetime | date"
"""What a field can be compared with. A datetime knows its time zone; a date is its text, "2026-01-31"."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({"AND", "OR", "NOT"})
_OWN = frozenset({"doc_id", "title", "create_time", "update_time"})
_LED = frozenset({*_OWN, "metadata"})
"""Keys that are reached through `metadata.` alone."""


class Condition(str):
    """The text of a filter, made of Fields; combine it with `&`, `|` and `~`.

    `Condition('lang = "en"')` takes a text as it is, so that it can be combined as well.
    """

    __slots__ = ("joined_by",)
    joined_by: str
    """The word of its outermost chain, AND or OR; empty where there is none, "?" where that is not known."""

    def __new__(cls, text: str, *, joined_by: str = "?") -> Self:
        """Make one of a text."""
        condition = super().__new__(cls, text)
        condition.joined_by = joined_by
        return condition

    def __and__(self, other: Condition) -> Condition:
        """Both hold."""
        return all_of(self, other)

    def __or__(self, other: Condition) -> Condition:
        """One of the two holds, or both."""
        return any_of(self, other)

    def __invert__(self) -> Condition:
        """It does not hold, also because what it asks of is not there."""
        return Condition(f"NOT ({self})" if self.joined_by else f"NOT {self}", joined_by="")

    def __bool__(self) -> bool:
        raise TypeError("a Condition is for the server: combine it with &, | and ~, not with and, or and not")


class Field:
    """What a filter looks at: a metadata key, or a path of keys into objects.

    `Field("author", "name")` is the key "name" of the object "author". Keys may hold anything: a dot in a key
    is a dot, and `Field("title")` is a key of the metadata; the document's own title is TITLE.
    """

    __slots__ = ("_name",)

    def __init__(self, *keys: str) -> None:
        if not keys or not all(keys):
            raise ValueError("a field is named by one key or more, and no key is empty")
        led = ("metadata",) if keys[0] in _LED else ()
        self._name = ".".join((*led, *(_key(key) for key in keys)))

    def __eq__(self, value: FilterValue) -> Condition:  # type: ignore[override]  # makes a condition
        """It is there and is `value`."""
        return self._compared("=", value)

    def __ne__(self, value: FilterValue) -> Condition:  # type: ignore[override]  # as above
        """It is there and is not `value`. `~(field == value)` also holds where it is missing."""
        return self._compared("!=", value)

    def __lt__(self, value: FilterValue) -> Condition:
        """It is there and less."""
        return self._ordered("<", value)

    def __le__(self, value: FilterValue) -> Condition:
        """It is there and not more."""
        return self._ordered("<=", value)

    def __gt__(self, value: FilterValue) -> Condition:
        """It is there and more."""
        return self._ordered(">", value)

    def __ge__(self, value: FilterValue) -> Condition:
        """It is there and not less."""
        return self._ordered(">=", value)

    __hash__ = None  # type: ignore[assignment]  # two equal fields cannot be told, so they are no keys

    def __repr__(self) -> str:
        return f"<Field {self._name}>"

    def contains(self, value: FilterValue) -> Condition:
        """It is `value`, or a list that holds it."""
        return Condition(f"{self._name}:{_written(value)}", joined_by="")

    def exists(self) -> Condition:
        """It is there."""
        return Condition(f"{self._name}:*", joined_by="")

    def is_in(self, values: Iterable[FilterValue]) -> Condition:
        """It is there and one of `values`; of no values, nothing is."""
        if isinstance(values, str):
            raise TypeError("is_in takes several values; a string would be taken letter by letter")
        return any_of(*(self == value for value in values))

    def _compared(self, sign: str, value: FilterValue) -> Condition:
        return Condition(f"{self._name} {sign} {_written(value)}", joined_by="")

    def _ordered(self, sign: str, value: FilterValue) -> Condition:
        if isinstance(value, bool):
            raise TypeError("true and false are neither less nor more than anything: use == and !=")
        return self._compared(sign, value)


class _OwnField(Field):
    """What the document has beside its metadata."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._name = name


def all_of(*conditions: Condition) -> Condition:
    """Every one of the conditions holds; of none, that is so of every document."""
    return _joined("AND", conditions) if conditions else ~any_of()


def any_of(*conditions: Condition) -> Condition:
    """One of the conditions holds, or several; of none, none does."""
    return _joined("OR", conditions) if conditions else Condition('doc_id = ""', joined_by="")


def _joined(word: str, conditions: tuple[Condition, ...]) -> Condition:
    for each in conditions:
        if not isinstance(each, Condition):
            raise TypeError(f"{each!r} is no Condition; Condition(text) makes one of a filter's text")
    if len(conditions) == 1:
        return conditions[0]
    terms = (f"({each})" if each.joined_by not in ("", word) else each for each in conditions)
    return Condition(f" {word} ".join(terms), joined_by=word)


def _key(key: str) -> str:
    return key if _WORD.fullmatch(key) and key not in _RESERVED else _quoted(key)


def _written(value: FilterValue) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _quoted(value)
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{value} is not a finite number")
            return float.__repr__(value)
        case datetime():
            if value.utcoffset() is None:
                raise ValueError(f"{value!r} has no time zone: say which moment it is")
            return _quoted(value.astimezone(UTC).isoformat())
        case date():
            return _quoted(value.isoformat())
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"a filter compares with str, bool, int, float, datetime and date, not with {value!r}"
        ) from None
    if abs(number) > EXACT:
        raise ValueError(f"{number} is not exact as a double: store it as a string")
    return str(number)


def _quoted(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} holds half of a surrogate pair, which is no character") from None
    return json.dumps(str(text), ensure_ascii=False)


DOC_ID = _OwnField("doc_id")
TITLE = _OwnField("title")
CREATE_TIME = _OwnField("create_time")
"""When the document was first stored; compares with a datetime."""
UPDATE_TIME = _OwnField("update_time")
"""When the document last changed; compares with a datetime."""

"""LangChain's filter dicts as filters of the contract.

LangChain has no filter language of its own. What its stores have in common comes from MongoDB, and is read
here with MongoDB's meaning: {"lang": "en", "year": {"$gte": 2020}}, $and, $or, $not. `$ne` and `$nin` let
through what has no such key too, and None stands for "is not there".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from rag_client.filters import Condition, Field, all_of, any_of

if TYPE_CHECKING:
    from collections.abc import Callable

Filter: TypeAlias = str | Mapping[str, Any] | None
"""A filter's text (a Condition is one), or a dict, or none."""


def filter_text(given: Filter) -> str:
    """Return the text of a filter, empty for none. Raises ValueError or TypeError where no filter says it."""
    if given is None:
        return ""
    if isinstance(given, str):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(f"a filter is a text or a dict, not a {type(given).__name__}")
    return condition(given) if given else ""


def condition(given: Mapping[str, Any]) -> Condition:
    """Return what a dict asks for: all of its entries."""
    return all_of(*(_entry(key, value) for key, value in given.items()))


def _entry(key: str, value: Any) -> Condition:
    match key:
        case "$and":
            return all_of(*(condition(each) for each in _listed(key, value)))
        case "$or":
            return any_of(*(condition(each) for each in _listed(key, value)))
        case "$not":
            return ~condition(value)
    if key.startswith("$"):
        raise ValueError(f"a filter has no {key}; there are $and, $or and $not")
    field = Field(*key.split("."))
    if not isinstance(value, Mapping):
        return _equal(field, value)
    return all_of(*(_compared(field, sign, operand) for sign, operand in value.items()))


def _compared(field: Field, sign: str, operand: Any) -> Condition:
    if sign == "$not":
        return ~all_of(*(_compared(field, inner, value) for inner, value in operand.items()))
    if sign not in _SIGNS:
        raise ValueError(f"a filter has no {sign}; there are {', '.join(_SIGNS)} and $not")
    return _SIGNS[sign](field, operand)


def _equal(field: Field, value: Any) -> Condition:
    if value is None:
        return ~field.exists()
    if isinstance(value, Sequence) and not isinstance(value, str):
        raise TypeError(
            f"{field!r} cannot be compared with a list: say {{'$in': [...]}} or {{'$contains': ...}}"
        )
    equal: Condition = field == value
    return equal


def _unequal(field: Field, value: Any) -> Condition:
    return field.exists() if value is None else ~_equal(field, value)


def _one_of(field: Field, values: Any) -> Condition:
    return any_of(*(_equal(field, value) for value in _listed("$in", values)))


def _between(field: Field, bounds: Any) -> Condition:
    match _listed("$between", bounds):
        case [low, high]:
            return all_of(field >= low, field <= high)
    raise ValueError(f"$between takes the lower and the upper bound, not {bounds!r}")


def _listed(sign: str, value: Any) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{sign} takes a list, not {value!r}")
    return value


_SIGNS: dict[str, Callable[[Field, Any], Condition]] = {
    "$eq": _equal,
    "$ne": _unequal,
    "$gt": lambda field, value: field > value,
    "$gte": lambda field, value: field >= value,
    "$lt": lambda field, value: field < value,
    "$lte": lambda field, value: field <= value,
    "$in": _one_of,
    "$nin": lambda field, values: ~_one_of(field, values),
    "$between": _between,
    "$contains": lambda field, value: field.contains(value),
    "$exists": lambda field, wanted: field.exists() if wanted else ~field.exists(),
}

"""A field rule, compiled to tests of one value.

Made once for each field when the server starts; what a request pays is a call and
a comparison for each test of a field that is set.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from rag_grpc.core.limits import Limits
from rag_grpc.rpc import page_tokens
from rag_grpc.rpc.field_rules import Rule

Test = tuple[Callable[[Any], "str | None"], str]
"""What says what is wrong with a value, or None; and the limit's name where it is a limit's."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_FLOATS = (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE)
_INTEGERS = (
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
)


def tests_of(field: FieldDescriptor, rule: Rule, limits: Limits) -> list[Test]:
    """Compile what `rule` says of a single value of `field`: of each item, where it is a list."""
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text_tests(field, rule, limits)
    if field.type in _FLOATS:
        if field.is_repeated:
            return []  # a vector: its message's check looks at all numbers at once
        return [(_not_finite, ""), *_range_tests(rule, limits)]
    if field.type in _INTEGERS:
        return _range_tests(rule, limits)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return [(_enum_test(field, rule), "")]
    return []


def size_tests(rule: Rule, limits: Limits) -> list[Test]:
    """Compile what `rule` says of the length of a list."""
    tests: list[Test] = []
    if rule.max_items is not None:
        tests.append((_longer_than(rule.max_items, "items"), ""))
    if rule.max_items_limit:
        bound = getattr(limits, rule.max_items_limit)
        tests.append((_longer_than(bound, "items"), rule.max_items_limit))
    return tests


def _text_tests(field: FieldDescriptor, rule: Rule, limits: Limits) -> list[Test]:
    tests: list[Test] = []
    if field.is_repeated:
        tests.append((_empty, ""))
    if rule.not_blank:
        tests.append((_blank, ""))
    if rule.pattern:
        tests.append((_pattern_test(rule), ""))
    if rule.choices:
        tests.append((_choice_test(rule.choices), ""))
    if rule.no_control_characters:
        tests.append((_control, ""))
    if rule.page_token:
        tests.append((page_tokens.fault_of, ""))
    return [*tests, *_length_tests(rule, limits)]


def _length_tests(rule: Rule, limits: Limits) -> list[Test]:
    tests: list[Test] = []
    if rule.max_bytes is not None:
        tests.append((_more_bytes_than(rule.max_bytes), ""))
    if rule.max_bytes_limit:
        tests.append((_more_bytes_than(getattr(limits, rule.max_bytes_limit)), rule.max_bytes_limit))
    if rule.max_characters is not None:
        tests.append((_longer_than(rule.max_characters, "characters"), ""))
    if rule.max_characters_limit:
        bound = getattr(limits, rule.max_characters_limit)
        tests.append((_longer_than(bound, "characters"), rule.max_characters_limit))
    return tests


def _range_tests(rule: Rule, limits: Limits) -> list[Test]:
    tests: list[Test] = []
    if rule.min_value is not None or rule.max_value is not None:
        low = -math.inf if rule.min_value is None else rule.min_value
        high = math.inf if rule.max_value is None else rule.max_value
        tests.append((_outside(low, high), ""))
    if rule.max_value_limit:
        bound = getattr(limits, rule.max_value_limit)
        tests.append((_outside(-math.inf, bound), rule.max_value_limit))
    return tests


def _empty(value: str) -> str | None:
    return None if value else "is empty; it must not be"


def _blank(value: str) -> str | None:
    return "is white space alone; it must hold more" if value.isspace() else None


def _control(value: str) -> str | None:
    # isprintable answers for most values without a search; it also refuses some that are fine.
    if value.isprintable() or (found := _CONTROL.search(value)) is None:
        return None
    return f"holds the control character U+{ord(found.group()):04X} at {found.start()}; it must hold none"


def _not_finite(value: float) -> str | None:
    return None if math.isfinite(value) else f"is {value}; it must be finite"


def _longer_than(bound: int, unit: str) -> Callable[[Any], str | None]:
    def test(value: Any) -> str | None:
        return None if len(value) <= bound else f"has {len(value)} {unit}, at most {bound}"

    return test


def _more_bytes_than(bound: int) -> Callable[[str], str | None]:
    def test(value: str) -> str | None:
        # A character takes four bytes at most.
        if len(value) * 4 <= bound or (size := len(value.encode())) <= bound:
            return None
        return f"has {size} bytes of UTF-8, at most {bound}"

    return test


def _pattern_test(rule: Rule) -> Callable[[str], str | None]:
    fullmatch = re.compile(rule.pattern).fullmatch

    def test(value: str) -> str | None:
        return None if fullmatch(value) else f"must be {rule.words}"

    return test


def _choice_test(choices: tuple[str, ...]) -> Callable[[str], str | None]:
    listed = " or ".join(f'"{choice}"' for choice in choices)

    def test(value: str) -> str | None:
        return None if value in choices else f"must be {listed}"

    return test


def _enum_test(field: FieldDescriptor, rule: Rule) -> Callable[[int], str | None]:
    values = [] if field.enum_type is None else field.enum_type.values
    known = {value.number: value.name for value in values if value.number or not rule.specified}
    listed = ", ".join(known.values())

    def test(value: int) -> str | None:
        return None if value in known else f"is {value}; it must be one of {listed}"

    return test


def _outside(low: float, high: float) -> Callable[[float], str | None]:
    bounds = f"at most {_number(high)}" if low == -math.inf else f"from {_number(low)} to {_number(high)}"

    def test(value: float) -> str | None:
        # What is not finite has a test of its own, and compares with nothing.
        return f"is {_number(value)}; it must be {bounds}" if value < low or value > high else None

    return test


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:g}"

"""Requests that break the table of field rules, made from the table itself by hypothesis.

A `Fault` is one way in which one field of one valid request can be wrong, and draws
values that are wrong in that way. What the server must say follows from the rule
alone; the validator is not asked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from hypothesis import strategies as st

from rag_grpc.core.limits import Limits
from rag_grpc.rpc.field_rules import RULES, Rule
from rag_grpc.rpc.field_rules.rule import MAX_KEY_BYTES, MAX_METADATA_DEPTH

LIMITS = Limits()
VECTOR = "ragapi.v1.Vector"
Values = st.SearchStrategy[Any]
_LARGEST = {
    FieldDescriptor.TYPE_UINT32: 2**32 - 1,
    FieldDescriptor.TYPE_UINT64: 2**64 - 1,
    FieldDescriptor.TYPE_INT32: 2**31 - 1,
    FieldDescriptor.TYPE_INT64: 2**63 - 1,
}
_FLOATS = (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE)
_MISSING = object()

# What proto3 strings can hold: everything but surrogates.
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@dataclass(frozen=True)
class Fault:
    """One way to break one field.

    `path` is how the server must name it from the request on; `place` is the field itself, where the path
    says more exactly what of it is wrong. `steps` lead from the request to the message that has the field.
    """

    path: str
    place: str
    steps: tuple[tuple[str, int | None], ...]
    field: FieldDescriptor
    kind: str
    values: Values
    limit: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}"

    def apply(self, request: Message, value: Any) -> None:
        """Break `request` with a drawn value."""
        message: Any = request
        for name, place in self.steps:
            message = getattr(message, name) if place is None else getattr(message, name)[place]
        name = self.field.name
        if value is _MISSING:
            message.ClearField(name)
        elif callable(value):
            value(getattr(message, name))
        elif self.field.is_repeated:
            values = getattr(message, name)
            del values[:]
            values.extend(value)
        else:
            setattr(message, name, value)


def faults_of(request: Message) -> list[Fault]:
    """Every way in which every field of `request` can break its rule alone."""
    return list(_message_faults(request, "", ()))


def apart(first: Fault, second: Fault) -> bool:
    """Whether two faults can be in one request without one hiding the other."""
    one, other = sorted((first.place, second.place), key=len)
    return not (other == one or other.startswith((one + ".", one + "[")))


def _message_faults(message: Any, prefix: str, steps: tuple[tuple[str, int | None], ...]) -> Iterator[Fault]:
    for field in message.DESCRIPTOR.fields:
        rule = RULES[field.full_name]
        if rule.output_only:
            continue
        path = prefix + field.name
        for kind, values, limit, suffix in _field_faults(field, rule):
            yield Fault(path + suffix, path, steps, field, kind, values, limit)
        nested = field.message_type
        if nested is None or nested.GetOptions().map_entry or rule.metadata or nested.full_name == VECTOR:
            continue
        if field.is_repeated and not rule.each_alone:
            for place, item in enumerate(getattr(message, field.name)):
                yield from _message_faults(item, f"{path}[{place}].", (*steps, (field.name, place)))
        elif not field.is_repeated and message.HasField(field.name):
            inner = getattr(message, field.name)
            yield from _message_faults(inner, path + ".", (*steps, (field.name, None)))


Found = Iterator[tuple[str, Values, bool, str]]


def _field_faults(field: FieldDescriptor, rule: Rule) -> Found:
    """Ways to break a field: kind, values, whether a limit is exceeded, and what follows its path."""
    if rule.required:
        yield "missing", st.just(_MISSING), False, ""
    if rule.metadata:
        yield from _metadata_faults()
    elif field.message_type is not None and field.message_type.full_name == VECTOR:
        yield from _vector_faults()
    elif field.is_repeated:
        yield from _list_faults(field, rule)
    else:
        yield from ((kind, values, limit, "") for kind, values, limit in _value_faults(field, rule))


def _list_faults(field: FieldDescriptor, rule: Rule) -> Found:
    bound = rule.max_items or (getattr(LIMITS, rule.max_items_limit) if rule.max_items_limit else None)
    if bound is not None:
        yield "too many", st.integers(bound + 1, bound + 5).map(_grow), bool(rule.max_items_limit), ""
    if field.message_type is None:
        for kind, values, limit in _value_faults(field, rule):
            yield kind, values.map(lambda value: [value]), limit, "[0]"
        if field.type == FieldDescriptor.TYPE_STRING:
            yield "empty item", st.just([""]), False, "[0]"


def _grow(size: int) -> Callable[[Any], None]:
    def grow(values: Any) -> None:
        if isinstance(values, MutableMapping):
            values.update((f"key {number}", 1) for number in range(size))
            return
        del values[:]
        if hasattr(values, "add"):
            for _ in range(size):
                values.add()
        else:
            values.extend([1 if _holds_numbers(values) else "x"] * size)

    return grow


def _holds_numbers(values: Any) -> bool:
    try:
        values.append(1)
    except TypeError:
        return False
    del values[:]
    return True


def _value_faults(field: FieldDescriptor, rule: Rule) -> Iterator[tuple[str, Values, bool]]:
    if field.type == FieldDescriptor.TYPE_STRING:
        yield from _text_faults(rule)
    elif field.type in _FLOATS:
        yield "not finite", st.sampled_from([math.nan, math.inf, -math.inf]), False
        yield from _range_faults(rule, 1e30, st.floats)
    elif field.type in _LARGEST:
        yield from _range_faults(rule, _LARGEST[field.type], st.integers)
    elif field.type == FieldDescriptor.TYPE_ENUM:
        known = {value.number for value in field.enum_type.values} if field.enum_type is not None else {0}
        yield "unknown", st.integers(-(2**31), 2**31 - 1).filter(lambda number: number not in known), False
        if rule.specified:
            yield "unspecified", st.just(0), False


def _range_faults(rule: Rule, largest: float, numbers: Any) -> Iterator[tuple[str, Values, bool]]:
    step: Any = 1 if numbers is st.integers else 0.001
    if rule.min_value is not None and step != 1:
        yield "too low", numbers(rule.min_value - 1e30, rule.min_value - step), False
    elif rule.min_value is not None and rule.min_value > 1:  # 0 is unset, which is another matter
        yield "too low", numbers(1, int(rule.min_value) - 1), False
    if rule.max_value is not None:
        yield "too high", numbers(type(step)(rule.max_value) + step, largest), False
    if rule.max_value_limit:
        yield "beyond limit", numbers(getattr(LIMITS, rule.max_value_limit) + 1, largest), True


def _text_faults(rule: Rule) -> Iterator[tuple[str, Values, bool]]:
    characters = st.sampled_from("xü\u4e2d\U0001f600")
    for bound, in_bytes, limit in (
        (rule.max_bytes, True, ""),
        (None, True, rule.max_bytes_limit),
        (rule.max_characters, False, ""),
        (None, False, rule.max_characters_limit),
    ):
        if bound is None and not limit:
            continue
        most: Any = getattr(LIMITS, limit) if limit else bound
        yield "too long", characters.map(partial(_long, most=most, in_bytes=in_bytes)), bool(limit)
    if rule.pattern:
        yield (
            "other pattern",
            _TEXT.filter(lambda text: bool(text) and not re.fullmatch(rule.pattern, text)),
            False,
        )
        yield "a line more", st.sampled_from(["a\n", "\na", "a\0"]), False
    if rule.choices:
        yield "no choice", _TEXT.filter(lambda text: bool(text) and text not in rule.choices), False
    if rule.no_control_characters:
        control = st.characters(categories=["Cc"])
        yield "control character", st.tuples(_TEXT, control, _TEXT).map("".join), False
    if rule.not_blank:
        yield "blank", st.text(st.sampled_from(" \t\n\r\u2003\u3000"), min_size=1, max_size=5), False
    if rule.page_token:
        yield "no token", _TEXT.filter(bool), False
        yield "no token either", st.text("AZaz09_-", min_size=1, max_size=64), False


def _long(character: str, *, most: int, in_bytes: bool) -> str:
    return character * (most // (len(character.encode()) if in_bytes else 1) + 1)


def _vector_faults() -> Found:
    bad = st.sampled_from([math.nan, math.inf, -math.inf])
    size, place = st.integers(1, 8), st.integers(0, 7)

    def spoilt(form: str) -> Callable[[tuple[float, int, int]], Callable[[Any], None]]:
        def make(drawn: tuple[float, int, int]) -> Callable[[Any], None]:
            number, length, where = drawn
            numbers = np.ones(length, "<f4")
            numbers[where % length] = number

            def set_numbers(vector: Any) -> None:
                vector.Clear()
                if form == "packed":
                    vector.packed = numbers.tobytes()
                else:
                    vector.values.extend(numbers.tolist())

            return set_numbers

        return make

    for form in ("packed", "values"):
        yield f"not finite, {form}", st.tuples(bad, size, place).map(spoilt(form)), False, f".{form}"
    odd = st.binary(min_size=1, max_size=33).filter(lambda packed: len(packed) % 4 != 0)
    yield "not whole", odd.map(lambda packed: lambda vector: _set(vector, packed=packed)), False, ".packed"
    yield "two forms", st.just(lambda vector: _set(vector, packed=b"\0\0\0\0", values=[1.0])), False, ""


def _set(message: Any, **fields: Any) -> None:
    message.CopyFrom(type(message)(**fields))


def _metadata_faults() -> Found:
    key = st.text("abc", min_size=1, max_size=5)

    def nested(deep: int) -> Callable[[Any], None]:
        def nest(metadata: Any) -> None:
            value: Any = "x"
            # Lists, which take two of protobuf's 100 levels; of objects, which take three, it reads no more.
            for _ in range(deep):
                value = [value]
            metadata.update({"k": value})

        return nest

    not_finite = st.tuples(key, st.sampled_from([math.nan, math.inf]))
    yield (
        "not finite",
        not_finite.map(lambda drawn: lambda meta: meta.update({drawn[0]: drawn[1]})),
        False,
        "",
    )
    in_list = not_finite.map(lambda drawn: lambda meta: meta.update({"l": [{drawn[0]: [drawn[1]]}]}))
    yield "not finite, within", in_list, False, ""
    yield "empty key", st.just(lambda meta: meta.update({"": "x"})), False, ""
    yield "empty key, within", key.map(lambda name: lambda meta: meta.update({name: {"": 1}})), False, ""
    long = st.integers(MAX_KEY_BYTES // 2 + 1, 400).map(lambda size: "ü" * size)
    yield "long key", long.map(lambda name: lambda meta: meta.update({name: 1})), False, ""
    yield "too deep", st.integers(MAX_METADATA_DEPTH, 40).map(nested), False, ""
    yield "no value", key.map(lambda name: lambda meta: _no_value(meta, name)), False, ""
    size = st.integers(LIMITS.max_metadata_bytes, LIMITS.max_metadata_bytes * 2)
    yield "too large", size.map(lambda many: lambda meta: meta.update({"k": "x" * many})), True, ""


def _no_value(metadata: Struct, name: str) -> None:
    metadata.fields[name].Clear()

"""Metadata on its way to google.protobuf.Struct and back.

protobuf's own json_format does the same through generic reflection. Written out, it is several times faster,
refuses what would not come back as it went, and gives whole numbers back as int.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import struct_pb2

EXACT = 2**53
"""Up to here a double holds every integer."""


def to_struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return `values` as a Struct. Raises ValueError naming the key of what a Struct cannot hold exactly."""
    struct = struct_pb2.Struct()
    _fill(struct, values, "")
    return struct


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return what a Struct holds as dicts, lists, str, bool, None and numbers, int where they are whole."""
    return {key: _value(value) for key, value in struct.fields.items()}


def _fill(struct: struct_pb2.Struct, values: Mapping[str, Any], path: str) -> None:
    for key, value in values.items():
        if not isinstance(key, str):
            raise ValueError(f"metadata {path}: a key is a string, not {key!r}")  # noqa: TRY004 - a bad value
        _put(struct.fields[key], value, f"{path}.{key}" if path else key)


def _put(target: struct_pb2.Value, value: Any, path: str) -> None:
    match value:
        case None:
            target.null_value = struct_pb2.NULL_VALUE
        case bool():
            target.bool_value = value
        case str():
            target.string_value = value
        case int() | float():
            target.number_value = _number(value, path)
        case Mapping():
            target.struct_value.SetInParent()
            _fill(target.struct_value, value, path)
        case Sequence() if not isinstance(value, bytes | bytearray | memoryview):
            target.list_value.SetInParent()
            for position, each in enumerate(value):
                _put(target.list_value.values.add(), each, f"{path}[{position}]")
        case _:
            raise ValueError(f"metadata {path}: JSON has nothing like a {type(value).__name__}")


def _number(value: float, path: str) -> float:
    if isinstance(value, int) and abs(value) > EXACT:
        raise ValueError(f"metadata {path}: {value} is not exact as a double, send it as a string")
    if not math.isfinite(value):
        raise ValueError(f"metadata {path}: {value} is not a finite number")
    return value


def _value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= EXACT else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return from_struct(value.struct_value)
    if kind == "list_value":
        return [_value(each) for each in value.list_value.values]
    return None

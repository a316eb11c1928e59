"""Any message of a type that protobuf can carry, plausible and absurd values mixed."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

MAX_DEPTH = 6
"""Levels of messages; a Struct within a document within an item needs them."""

_PLAUSIBLE = ["default", "c", "d", "hello", "none", "mock", "text/markdown", "en", "lang", 'lang = "en"', "q"]
_STRINGS = st.sampled_from(_PLAUSIBLE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_FLOATS = st.floats(width=32)

_VALUES: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: _STRINGS,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=64),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_FLOAT: _FLOATS,
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 20) | st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 20) | st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_ENUM: st.integers(0, 4) | st.integers(-(2**31), 2**31 - 1),
}


@st.composite
def messages(draw: st.DrawFn, kind: type[Message], depth: int = MAX_DEPTH) -> Message:
    """Draw a message with any of its fields set to anything."""
    message = kind()
    for field in message.DESCRIPTOR.fields:
        nested: Any = field.message_type
        if (nested is not None and depth == 0) or not draw(st.booleans()):
            continue
        if nested is not None and nested.GetOptions().map_entry:
            _fill_map(draw, getattr(message, field.name), nested, depth)
        elif field.is_repeated:
            one = messages(GetMessageClass(nested), depth - 1) if nested is not None else _VALUES[field.type]
            getattr(message, field.name).extend(draw(st.lists(one, max_size=3)))
        elif nested is not None:
            getattr(message, field.name).CopyFrom(draw(messages(GetMessageClass(nested), depth - 1)))
        else:
            setattr(message, field.name, draw(_VALUES[field.type]))
    return message


def _fill_map(draw: st.DrawFn, entries: Any, entry: Any, depth: int) -> None:
    value: Any = entry.fields_by_name["value"]
    for key in draw(st.lists(_VALUES[entry.fields_by_name["key"].type], max_size=3)):
        if value.message_type is not None:
            entries[key].CopyFrom(draw(messages(GetMessageClass(value.message_type), depth - 1)))
        else:
            entries[key] = draw(_VALUES[value.type])

"""JSON from the page -> a query of the core. Strict, as the contract is: what has no meaning is an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from rag_grpc.core.errors import FieldViolation, InvalidField
from rag_grpc.core.limits import Limits
from rag_grpc.core.queries import CrossEncoding, Query
from rag_grpc.core.searches import SearchMode

MAX_TOP_K = 50
"""Hits that a page shows; who wants more of them asks over gRPC."""
MAX_NAME_BYTES = 512
_DEFAULT_TOP_K = 10
_MODES = {"auto": None, **{mode.value: mode for mode in SearchMode}}


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked: the query, and by which generator it shall be answered, "" for the default."""

    query: Query
    generator: str = ""


@dataclass(slots=True)
class _Fields:
    """The fields of an object as they are taken out of it, with every fault that was found."""

    values: dict[str, Any]
    faults: list[FieldViolation] = field(default_factory=list)

    def text(self, name: str, most: int, unit: str, measure: Callable[[str], int]) -> str:
        value = self.values.pop(name, "")
        if not isinstance(value, str):
            self.fault(name, "must be a text")
            return ""
        if measure(value) > most:
            self.fault(name, f"has {measure(value)} {unit}, at most {most} are taken")
        return value

    def fault(self, name: str, description: str) -> None:
        self.faults.append(FieldViolation(name, description))


def question_of(body: bytes, limits: Limits) -> Question:
    """Read a question. Raises InvalidField, with every field that is wrong."""
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidField.of([FieldViolation("body", f"is no JSON: {error.msg}")]) from None
    if not isinstance(values, dict):
        raise InvalidField.of([FieldViolation("body", "must be an object")])
    fields = _Fields(values)
    text = fields.text("query", limits.max_query_characters, "characters", len)
    if not text.strip():
        fields.fault("query", "is blank: say what to look for")
    query = Query(
        collection=_name(fields, "collection"),
        text=text,
        top_k=_top_k(fields),
        filter=fields.text("filter", limits.max_filter_bytes, "bytes", _utf8),
        mode=_mode(fields),
        rerank=_rerank(fields),
        highlight=True,
    )
    question = Question(query, _name(fields, "generator"))
    for name in sorted(values):
        fields.fault(name[:100], "means nothing here")
    if fields.faults:
        raise InvalidField.of(fields.faults)
    return question


def _utf8(text: str) -> int:
    return len(text.encode())


def _name(fields: _Fields, name: str) -> str:
    return fields.text(name, MAX_NAME_BYTES, "bytes", _utf8)


def _top_k(fields: _Fields) -> int:
    value = fields.values.pop("top_k", _DEFAULT_TOP_K)
    if type(value) is not int or not 1 <= value <= MAX_TOP_K:
        fields.fault("top_k", f"must be a whole number from 1 to {MAX_TOP_K}")
        return _DEFAULT_TOP_K
    return value


def _mode(fields: _Fields) -> SearchMode | None:
    value = fields.values.pop("mode", "auto")
    if not isinstance(value, str) or value not in _MODES:
        fields.fault("mode", f"must be one of {', '.join(_MODES)}")
        return None
    return _MODES[value]


def _rerank(fields: _Fields) -> CrossEncoding | None:
    """Name a re-ranker; without one there is none."""
    name = _name(fields, "reranker")
    return CrossEncoding(name) if name else None

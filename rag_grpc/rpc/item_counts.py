"""Lists of a request, counted in its bytes before they become messages.

An item that is empty takes two bytes, so 16 MiB hold eight million of them. To decode
those takes 1.7 s for documents and 7 s for queries (measured), and all that time the
event loop serves nobody; no check of the decoded request comes in time. So the fields
of a large request are counted where they stand, from each tag to the next, and no
further than there may be. What is within an item is jumped over.

The format is the specification's (protobuf.dev/programming-guides/encoding). What is
not in this format is left to the decoder, which refuses it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, NamedTuple

from google.protobuf import descriptor_pool

from rag_grpc.core.limits import Limits
from rag_grpc.rpc.field_rules import RULES
from rag_grpc.rpc.findings import Findings
from rag_grpc.rpc.interceptors.call import Method

SMALL: Final = 64 * 1024
"""Bytes of a request that is not looked at: what they can hold is decoded in milliseconds."""
MOST_FIELDS: Final = 100_000
"""Of a request, those nobody knows included; it is ten times what the longest list may have."""
LEAST_PROBLEM: Final = 128
"""Bytes that the Problem of an item of too long a list has at least: it names list and limit, twice."""
_VARINT, _FIXED64, _LENGTH, _GROUP, _GROUP_END, _FIXED32 = range(6)
_LONGEST_VARINT: Final = 63
_REQUESTS_STREAM: Final = frozenset({"CLIENT_STREAMING", "BIDI_STREAMING"})


class ItemCounts:
    """What the requests of one method may have of each list at their top."""

    def __init__(self, method: Method, limits: Limits) -> None:
        service = descriptor_pool.Default().FindServiceByName(method.service)
        self._limits = limits
        self._bounds: dict[int, _Bound] = {}
        for field in service.methods_by_name[method.name].input_type.fields:
            rule = RULES.get(field.full_name)
            if rule is None or field.message_type is None or not field.is_repeated:
                continue
            if rule.max_items_limit:
                most = getattr(limits, rule.max_items_limit)
            elif rule.max_items is not None:
                most = rule.max_items
            else:
                continue
            counted = most
            if rule.each_alone and method.type in _REQUESTS_STREAM:
                # Too long a message of a stream is answered, and fails its items, unless there is no room
                # for that in a response. Only a list of which that is sure ends the stream here.
                counted = max(most, limits.max_response_bytes // LEAST_PROBLEM)
            self._bounds[field.number] = _Bound(field.name, most, counted, rule.max_items_limit)

    def check(self, request: bytes) -> None:
        """Raise LimitExceeded or InvalidField where a list has more items than it may."""
        if len(request) <= SMALL or not self._bounds:
            return
        findings = Findings()
        try:
            self._count(request, findings)
        except (IndexError, ValueError):
            return
        error = findings.error(self._limits)
        if error is not None:
            raise error

    def _count(self, request: bytes, findings: Findings) -> None:
        """Go from tag to tag, up to the first list that is too long. Raises IndexError, ValueError."""
        counts: Counter[int] = Counter()
        at, end, depth, seen = 0, len(request), 0, 0
        while at < end:
            tag, at = _varint(request, at)
            number, kind = tag >> 3, tag & 7
            seen += 1
            if seen > MOST_FIELDS:
                findings.breaks("request", f"has more than {MOST_FIELDS} fields")
                return
            if kind == _LENGTH and not depth and number in self._bounds:
                counts[number] += 1
                if counts[number] > self._bounds[number].counted:
                    _note(findings, self._bounds[number])
                    return
            depth += (kind == _GROUP) - (kind == _GROUP_END)
            at = _behind(request, at, kind)


class _Bound(NamedTuple):
    """How long a list may be, and up to what length it is counted."""

    name: str
    most: int
    counted: int
    limit: str


def _note(findings: Findings, bound: _Bound) -> None:
    wrong = f"has more than {bound.counted} items, at most {bound.most}"
    if bound.limit:
        findings.exceeds(bound.name, wrong, bound.limit)
    else:
        findings.breaks(bound.name, wrong)


def _behind(request: Any, at: int, kind: int) -> int:
    """Find where the value at `at` ends. Raises IndexError, ValueError."""
    if kind == _VARINT:
        return _varint(request, at)[1]
    if kind == _LENGTH:
        length, at = _varint(request, at)
        return at + length
    if kind in (_FIXED64, _FIXED32):
        return at + (8 if kind == _FIXED64 else 4)
    if kind in (_GROUP, _GROUP_END):
        return at
    raise ValueError(kind)


def _varint(request: Any, at: int) -> tuple[int, int]:
    """Read a number; return where it ends too. Raises IndexError, ValueError."""
    byte = request[at]
    at += 1
    number, shift = byte & 0x7F, 7
    while byte > 0x7F:  # noqa: PLR2004 # the bit that says that more follow
        if shift > _LONGEST_VARINT:
            raise ValueError(shift)
        byte = request[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
    return number, at

"""Requests, checked against the table of field rules.

The table is compiled once: each message type becomes a list of tests by field
number. A request is then walked by `ListFields`, which gives what is set and
nothing else, so that a query pays for the three fields it has and not for the
nineteen it might have. Every fault is found in one walk.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter, methodcaller
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from rag_grpc.core.errors import RagError
from rag_grpc.core.limits import Limits
from rag_grpc.rpc.field_rules import MESSAGE_RULES, RULES, Rule
from rag_grpc.rpc.findings import Findings
from rag_grpc.rpc.message_checks import CHECKS
from rag_grpc.rpc.metadata_checks import check_metadata
from rag_grpc.rpc.value_checks import Test, size_tests, tests_of

FieldCheck = Callable[[Any, str, Findings], None]


class Validator:
    """Checks requests against the table, under these limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._checks: dict[str, _MessageCheck] = {}
        self._compiled: dict[type[Message], _MessageCheck] = {}

    def check(self, request: Message) -> None:
        """Raise InvalidField or LimitExceeded where a field of `request` is at fault."""
        error = self.error_of(request)
        if error is not None:
            raise error

    def error_of(self, message: Message) -> RagError | None:
        """Find what `check` would raise. Paths begin at `message`, which may be an item of a batch."""
        findings = Findings()
        compiled = self._compiled.get(type(message))
        if compiled is None:
            compiled = self._compiled[type(message)] = self._check_of(message.DESCRIPTOR, ruled=True)
        compiled.look(message, "", findings)
        return findings.error(self.limits)

    def _check_of(self, descriptor: Any, *, ruled: bool) -> _MessageCheck:
        key = descriptor.full_name if ruled else descriptor.full_name + " (unruled)"
        if key not in self._checks:
            # Known before its fields are compiled, so that a message may hold its own kind.
            self._checks[key] = check = _MessageCheck(descriptor, self.limits, ruled=ruled)
            for field in descriptor.fields:
                check.add(field, self._field_check(field, RULES[field.full_name]))
        return self._checks[key]

    def _field_check(self, field: FieldDescriptor, rule: Rule) -> FieldCheck | None:
        if rule.output_only:
            return None
        if rule.metadata:
            return _metadata_check(rule, self.limits)
        single: FieldCheck | None = None
        nested = field.message_type
        is_map = nested is not None and nested.GetOptions().map_entry
        if nested is not None and not is_map and not rule.each_alone:
            single = _nested_check(self._check_of(nested, ruled=not rule.unruled))
        elif tests := tests_of(field, rule, self.limits):
            single = _value_check(tests)
        if field.is_repeated:
            single = _list_check(size_tests(rule, self.limits), single)
        return single


class _MessageCheck:
    """The compiled rules of one message type."""

    __slots__ = ("_checks", "_limits", "_required", "_whole")

    def __init__(self, descriptor: Any, limits: Limits, *, ruled: bool) -> None:
        rule = MESSAGE_RULES.get(descriptor.full_name) if ruled else None
        self._whole = None if rule is None else CHECKS[rule.check]
        self._limits = limits
        self._checks: dict[int, tuple[str, FieldCheck]] = {}
        self._required: list[tuple[str, Callable[[Any], bool]]] = []

    def add(self, field: FieldDescriptor, check: FieldCheck | None) -> None:
        """Take a field's check in."""
        if check is not None:
            self._checks[field.number] = (field.name, check)
        if RULES[field.full_name].required:
            is_message = field.message_type is not None and not field.is_repeated
            is_set = methodcaller("HasField", field.name) if is_message else attrgetter(field.name)
            self._required.append((field.name, is_set))

    def look(self, message: Any, prefix: str, findings: Findings) -> None:
        """Note every fault of `message`, whose path is `prefix` without its last dot."""
        checks = self._checks
        if checks:
            for field, value in message.ListFields():
                named = checks.get(field.number)
                if named is not None:
                    named[1](value, prefix + named[0], findings)
        for name, is_set in self._required:
            if not is_set(message):
                findings.breaks(prefix + name, "is required")
        if self._whole is not None:
            self._whole(message, prefix, findings, self._limits)


def _value_check(tests: list[Test]) -> FieldCheck:
    def check(value: Any, path: str, findings: Findings) -> None:
        for test, limit in tests:
            wrong = test(value)
            if wrong is None:
                continue
            if limit:
                findings.exceeds(path, wrong, limit)
            else:
                findings.breaks(path, wrong)

    return check


def _nested_check(inner: _MessageCheck) -> FieldCheck:
    def check(value: Any, path: str, findings: Findings) -> None:
        inner.look(value, path + ".", findings)

    return check


def _list_check(sizes: list[Test], single: FieldCheck | None) -> FieldCheck | None:
    if single is None:
        return _value_check(sizes) if sizes else None

    def check(values: Any, path: str, findings: Findings) -> None:
        for test, limit in sizes:
            wrong = test(values)
            if wrong is not None:
                # What is too long is not looked at further: it may be millions of items.
                (findings.exceeds(path, wrong, limit) if limit else findings.breaks(path, wrong))
                return
        for place, value in enumerate(values):
            single(value, f"{path}[{place}]", findings)

    return check


def _metadata_check(rule: Rule, limits: Limits) -> FieldCheck:
    limit = rule.max_bytes_limit
    bound = getattr(limits, limit)

    def check(value: Any, path: str, findings: Findings) -> None:
        size = value.ByteSize()
        if size > bound:
            # As with lists: a request's worth of values takes a second to walk.
            findings.exceeds(path, f"has {size} bytes, at most {bound}", limit)
            return
        check_metadata(value, path, findings)

    return check

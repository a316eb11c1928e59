"""docs/operations.md knows every event that the code can log or count, at its level."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from rag_grpc.telemetry import EVENTS as EVENTS_COUNTED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
ROW = re.compile(
    r"^\| `([a-z_]+)` \| ((?:debug|info|warning|error)[^|]*) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE
)
LEVELS = {"debug", "info", "warning", "error", "exception", "log"}

EVENTS, METRICS = PAGE.split("## Metrics")
DOCUMENTED = {event: level for event, level, _, _ in ROW.findall(EVENTS)}


def logged() -> Iterator[tuple[str, str, ast.expr]]:
    """Give every call of a logger: where, method, first argument that is an event."""
    for path, call in _calls():
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if method in LEVELS and _owner(call) in ("log", "logger", "_log"):
            yield path, method, call.args[1] if method == "log" else call.args[0]


def counted() -> Iterator[tuple[str, ast.expr]]:
    """Give every event that telemetry counts."""
    for path, call in _calls():
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if method == "event" and _owner(call) in ("telemetry", "_telemetry"):
            yield path, call.args[0]


@cache
def _calls() -> list[tuple[str, ast.Call]]:
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno}", node)
        for path in sorted((ROOT / "rag_grpc").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
    ]


def _owner(call: ast.Call) -> str:
    value = call.func.value if isinstance(call.func, ast.Attribute) else None
    if isinstance(value, ast.Attribute):
        return value.attr
    return value.id if isinstance(value, ast.Name) else ""


@pytest.mark.parametrize(("where", "method", "event"), list(logged()))
def test_what_is_logged_is_documented_at_its_level(where: str, method: str, event: ast.expr) -> None:
    assert isinstance(event, ast.Constant), f"{where}: an event has a name, not a text that is put together"
    assert event.value in DOCUMENTED, f"{where}: {event.value!r} is not in docs/operations.md"
    if method != "log":
        assert {"exception": "error"}.get(method, method) in DOCUMENTED[event.value], where


@pytest.mark.parametrize(("where", "event"), list(counted()))
def test_what_is_counted_is_documented_beside_its_metric(where: str, event: ast.expr) -> None:
    assert isinstance(event, ast.Constant), where
    row = next(line for line in METRICS.splitlines() if "`rag_events_total`" in line)
    assert f"`{event.value!s}`" in row, where


def test_what_is_counted_is_counted_from_the_start() -> None:
    assert {event.value for _, event in counted() if isinstance(event, ast.Constant)} == set(EVENTS_COUNTED)


def test_nothing_is_documented_that_is_not_there() -> None:
    there = {event.value for _, _, event in logged() if isinstance(event, ast.Constant)}
    # Made of what libraries log.
    assert set(DOCUMENTED) == there | {"library_message"}


def test_events_are_in_order_and_each_says_what_to_do() -> None:
    rows = ROW.findall(EVENTS)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert all(row[2].strip().endswith(".") and row[3].strip().endswith(".") for row in rows)

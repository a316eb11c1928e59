"""What an expression of a panel or an alert names, held against what the server really has.

Prometheus itself takes any name: a panel over a metric that does not exist is simply
empty, and an alert over it never fires.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import promql_parser as promql

TARGET = frozenset({"instance", "job"})
"""Labels that Prometheus puts on whatever it scrapes."""
OPEN = TARGET | {"collection", "le"}
"""Labels whose values nobody can list."""


@dataclass(frozen=True)
class Series:
    """What there is under one name: its labels, and the values seen or documented of each."""

    labels: frozenset[str] = frozenset()
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)


Metrics = Mapping[str, Series]

PROMETHEUS_OWN: Metrics = {
    "up": Series(),
    "ALERTS": Series(
        frozenset({"alertname", "alertstate"}), {"alertstate": frozenset({"pending", "firing"})}
    ),
}


@dataclass(frozen=True)
class Checked:
    """What is wrong with an expression, and which labels its result has; None for a number."""

    faults: list[str]
    labels: frozenset[str] | None


def check(expression: str, metrics: Metrics) -> Checked:
    """Hold an expression against the metrics that there are."""
    try:
        parsed = promql.parse(expression)
    except ValueError as error:
        return Checked([f"it does not parse: {error}"], frozenset())
    reader = _Reader({**metrics, **PROMETHEUS_OWN})
    labels = reader.labels(parsed)
    return Checked(reader.faults, labels)


class _Reader:
    """Goes through an expression from the inside out, and knows at each step which labels are left."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.faults: list[str] = []

    def labels(self, node: promql.Expr) -> frozenset[str] | None:
        if isinstance(node, promql.MatrixSelector):
            node = node.vector_selector
        match node:
            case promql.VectorSelector():
                return self._selector(node)
            case promql.AggregateExpr():
                return self._aggregated(node)
            case promql.BinaryExpr():
                return self._combined(node)
            case promql.Call():
                return self._called(node)
            case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
                return self.labels(node.expr)
            case promql.NumberLiteral() | promql.StringLiteral():
                return None
        raise AssertionError(f"an expression of a kind that is not known here: {node}")

    def _selector(self, selector: promql.VectorSelector) -> frozenset[str]:
        series = self.metrics.get(selector.name or "")
        if series is None:
            self.faults.append(f"there is no metric {selector.name!r}")
            return TARGET
        there = series.labels | TARGET
        for matcher in selector.matchers.matchers:
            self._want({matcher.name}, there, selector.name or "")
            known = series.values.get(matcher.name)
            positive = matcher.op in (promql.MatchOp.Equal, promql.MatchOp.Re)
            if positive and known and matcher.name not in OPEN:
                for each in matcher.value.split("|") if matcher.op is promql.MatchOp.Re else [matcher.value]:
                    pattern = each if matcher.op is promql.MatchOp.Re else re.escape(each)
                    if not any(re.fullmatch(pattern, value) for value in known):
                        self.faults.append(f"{selector.name} has no {matcher.name} {each!r}")
        return there

    def _aggregated(self, node: promql.AggregateExpr) -> frozenset[str]:
        inner = self.labels(node.expr) or frozenset()
        if str(node.op) in ("topk", "bottomk"):
            return inner
        if node.modifier is None:
            return frozenset()
        named = frozenset(node.modifier.labels)
        self._want(named, inner, str(node.op))
        return named if node.modifier.type == promql.AggModifierType.By else inner - named

    def _combined(self, node: promql.BinaryExpr) -> frozenset[str] | None:
        left, right = self.labels(node.lhs), self.labels(node.rhs)
        if left is None or right is None:
            return right if left is None else left
        if str(node.op) == "or":
            return left | right
        matching = node.modifier.matching if node.modifier else None
        if matching is None:
            if str(node.op) not in ("and", "unless") and left != right and left and right:
                self.faults.append(f"{sorted(left)} and {sorted(right)} never meet: say on (...)")
            return left
        named = frozenset(matching.labels)
        self._want(named, left & right, "matching")
        if str(node.op) in ("and", "unless") or node.modifier is None:
            return left
        if node.modifier.card == promql.VectorMatchCardinality.ManyToOne:
            return left | frozenset(node.modifier.group_labels or ())
        return named if matching.type == promql.LabelModifierType.Include else left - named

    def _called(self, node: promql.Call) -> frozenset[str] | None:
        results = [found for each in node.args if (found := self.labels(each)) is not None]
        if node.func.name == "vector":
            return frozenset()
        if not results:
            return None  # time()
        inner = results[0]
        if node.func.name == "histogram_quantile":
            self._want({"le"}, inner, "histogram_quantile")
            return inner - {"le"}
        return inner

    def _want(self, named: Iterable[str], there: frozenset[str], where: str) -> None:
        for label in sorted(frozenset(named) - there):
            self.faults.append(f"{where}: there is no label {label!r}, there is {', '.join(sorted(there))}")

"""How good the answers were, over time, as the page draws it: from what the store keeps for 90 days.

A canary that measures every few minutes makes more points than a curve has pixels, so
each stretch of time is told by its mean, and by its lowest value, in which a short fall
is still seen.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rag_grpc.core.errors import FieldViolation, InvalidField
from rag_grpc.core.quality import Measurement, QualityLog
from rag_grpc.sidecar.exchange import Request
from rag_grpc.sidecar.loop_line import LoopLine

DAYS = (1, 7, 30, 90)
POINTS = 120
_DEFAULT_DAYS = 7
_DAY = 86_400


class QualityCurves:
    """Asked from the sidecar's threads."""

    def __init__(self, line: LoopLine, log: QualityLog, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._line = line
        self._log = log
        self._clock = clock

    def tell(self, request: Request) -> dict[str, Any]:
        """Tell what was measured in the last `days`. Raises InvalidField, NotReady, DeadlineExceeded."""
        days = _days(request.query)
        end = self._clock()
        begin = end - days * _DAY * 10**9
        measured = self._line.wait(lambda: self._log.since(begin))
        return {"days": days, "begin": begin / 1e9, "end": end / 1e9, "curves": curves(measured, begin, end)}


def curves(measured: Sequence[Measurement], begin: int, end: int) -> list[dict[str, Any]]:
    """Make a curve of each collection, origin and measure, in this order."""
    series: dict[tuple[str, str, str], list[Measurement]] = defaultdict(list)
    for each in measured:
        series[each.collection, each.origin.value, each.measure].append(each)
    return [
        {
            "collection": collection,
            "origin": origin,
            "measure": measure,
            "points": _points(values, begin, end),
            "count": len(values),
            "first": values[0].value,
            "last": values[-1].value,
            "lowest": min(each.value for each in values),
            "highest": max(each.value for each in values),
            "time": values[-1].time / 1e9,
        }
        for (collection, origin, measure), values in sorted(series.items())
    ]


def _points(values: Sequence[Measurement], begin: int, end: int) -> list[tuple[float, float, float]]:
    """Give time, mean and lowest of each stretch in which something was measured; all of them where few."""
    if len(values) <= POINTS:
        return [(each.time / 1e9, each.value, each.value) for each in values]
    stretch = max(1, (end - begin) // POINTS)
    stretches: dict[int, list[Measurement]] = defaultdict(list)
    for each in values:
        stretches[(each.time - begin) // stretch].append(each)
    return [
        (
            held[-1].time / 1e9,
            sum(each.value for each in held) / len(held),
            min(each.value for each in held),
        )
        for held in stretches.values()
    ]


def _days(query: Mapping[str, str]) -> int:
    text = query.get("days", str(_DEFAULT_DAYS))
    if text not in map(str, DAYS):
        raise InvalidField.of([FieldViolation("days", f"must be one of {', '.join(map(str, DAYS))}")])
    return int(text)

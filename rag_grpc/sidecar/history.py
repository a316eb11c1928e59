"""The last quarter of an hour of the server's own metrics, for who has no Prometheus.

The same series that Prometheus reads are looked at every five seconds, and what they
counted in between is rate and latency. Nothing here is measured a second time, and
nothing outlives the process: for that there is Prometheus.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

INTERVAL = 5.0
"""Seconds between two looks."""
KEPT = 15 * 60.0
"""Seconds that are remembered."""
RECENT = 5 * 60.0
"""Seconds over which the tables speak."""

_CALLS = "grpc_server_handled"
_SECONDS = "grpc_server_handling_seconds"
_STAGES = "rag_stage_seconds"
_PAGE = "rag_page_call_seconds"
_READ = (
    [f"{_CALLS}_total"],
    [f"{_SECONDS}_bucket"],
    [f"{_STAGES}_bucket", f"{_STAGES}_sum"],
    [f"{_PAGE}_bucket"],
)

Buckets = dict[float, float]


@dataclass(slots=True)
class Series:
    """What one method or stage has come to since the start, or between two looks.

    `buckets` maps an upper bound to how many were at most that long, `codes` how many ended which way.
    """

    buckets: Buckets = field(default_factory=dict)
    codes: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def count(self) -> float:
        """How many there were."""
        return max(self.buckets.values(), default=0.0)

    def less(self, before: Series) -> Series:
        """What came since `before`."""
        return Series(_less(self.buckets, before.buckets), _less(self.codes, before.codes),
                      self.seconds - before.seconds)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """All series at one time, by (kind, name): kind is "method", "page" or "stage"."""

    time: float
    series: Mapping[tuple[str, str], Series]


class History:
    """Looks at a registry again and again. `look` and `tell` may be called from any threads."""

    def __init__(self, registry: CollectorRegistry, *, clock: Callable[[], float] = time.monotonic) -> None:
        # Of these families alone: the whole registry would ask the store for its sizes each time.
        self._sources = [registry.restricted_registry(names) for names in _READ]
        self._clock = clock
        self._lock = threading.Lock()
        # From the start, so that the first calls are seen to have come.
        self._looks = deque([self._seen(clock())], maxlen=round(KEPT / INTERVAL) + 1)

    def look(self) -> None:
        """Look, if it is time to."""
        now = self._clock()
        with self._lock:
            if now - self._looks[-1].time >= INTERVAL:
                self._looks.append(self._seen(now))

    def tell(self) -> dict[str, Any]:
        """Tell rate and latency: over time for all calls, and lately for each method and stage."""
        with self._lock:
            looks = [*self._looks, self._seen(self._clock())]
        now = looks[-1]
        before = looks[bisect_left(looks, now.time - RECENT, key=lambda each: each.time)]
        lately = _between(before, now)
        seconds = now.time - before.time
        return {
            "interval": INTERVAL,
            "kept": KEPT,
            "recent": seconds,
            "over_time": [_over_time(one, two, now.time) for one, two in pairwise(looks[:-1])],
            "methods": [
                _row(name, series, seconds)
                for (kind, name), series in sorted(lately.items())
                if kind != "stage"
            ],
            "stages": [
                _row(name, series, seconds)
                for (kind, name), series in sorted(lately.items())
                if kind == "stage"
            ],
        }

    def _seen(self, now: float) -> Look:
        series: dict[tuple[str, str], Series] = defaultdict(Series)
        for source in self._sources:
            for family in source.collect():
                _take(family, series)
            # All of it takes 4 ms of Python; the event loop need not wait for the whole of that.
            time.sleep(0)
        return Look(now, dict(series))


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Estimate a quantile as Prometheus does: evenly spread within a bucket, None where nothing was counted.

    What lies above the last bound is told as that bound.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    wanted = share * total
    lower = below = 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= wanted:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (wanted - below) / (count - below)
        lower, below = bound, count
    return lower


def _take(family: Metric, series: dict[tuple[str, str], Series]) -> None:
    for sample in family.samples:
        labels = sample.labels
        if family.name == _CALLS and sample.name.endswith("_total"):
            codes = series["method", _method(labels)].codes
            codes[labels["grpc_code"]] = codes.get(labels["grpc_code"], 0.0) + sample.value
        elif family.name == _PAGE and sample.name.endswith("_bucket"):
            mine = series["page", f"page/{labels['call']}"]
            _add(mine.buckets, labels["le"], sample.value)
            if labels["le"] == "+Inf":
                mine.codes[labels["reason"]] = sample.value
        elif family.name in (_SECONDS, _STAGES) and sample.name.endswith("_bucket"):
            key = ("method", _method(labels)) if family.name == _SECONDS else ("stage", labels["stage"])
            _add(series[key].buckets, labels["le"], sample.value)
        elif family.name == _STAGES and sample.name.endswith("_sum"):
            series["stage", labels["stage"]].seconds = sample.value


def _method(labels: Mapping[str, str]) -> str:
    return f"{labels['grpc_service'].rpartition('.')[2]}/{labels['grpc_method']}"


def _add(buckets: Buckets, bound: str, value: float) -> None:
    key = float(bound)
    buckets[key] = buckets.get(key, 0.0) + value


def _less(now: Mapping[Any, float], before: Mapping[Any, float]) -> dict[Any, float]:
    return {key: value - before.get(key, 0.0) for key, value in now.items()}


def _between(before: Look, now: Look) -> dict[tuple[str, str], Series]:
    """What came between two looks, without what did not come at all."""
    empty = Series()
    changes = {key: series.less(before.series.get(key, empty)) for key, series in now.series.items()}
    return {key: change for key, change in changes.items() if change.count or any(change.codes.values())}


def _over_time(before: Look, now: Look, told: float) -> dict[str, Any]:
    """One point of the curves, over all methods: when it was, how many calls, how long they took."""
    calls = [series for (kind, _), series in _between(before, now).items() if kind != "stage"]
    buckets: Buckets = defaultdict(float)
    for series in calls:
        for bound, value in series.buckets.items():
            buckets[bound] += value
    seconds = now.time - before.time
    failed = sum(value for each in calls for code, value in each.codes.items() if code != "OK")
    return {
        "ago": told - now.time,
        "rate": sum(each.count for each in calls) / seconds,
        "failed": failed / seconds,
        "p50": quantile(buckets, 0.5),
        "p95": quantile(buckets, 0.95),
    }


def _row(name: str, series: Series, seconds: float) -> dict[str, Any]:
    count = series.count
    return {
        "name": name,
        "count": round(count),
        "rate": count / seconds if seconds else 0.0,
        "codes": {
            code: round(value) for code, value in sorted(series.codes.items()) if value and code != "OK"
        },
        "mean": series.seconds / count if count and series.seconds else None,
        "p50": quantile(series.buckets, 0.5),
        "p95": quantile(series.buckets, 0.95),
        "p99": quantile(series.buckets, 0.99),
    }

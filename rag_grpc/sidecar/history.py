"""The last quarter of an hour of the server's own metrics, for who has no Prometheus.

The same series that Prometheus reads are looked at every five seconds, and what they
counted in between is rate and latency. Nothing here is measured a second time, and
nothing outlives the process: for that there is Prometheus.

A look is one row of numbers, and which number stands where is kept once for all of
them: some forty methods and stages with their buckets, as dictionaries of their own in
each look, took up to 80 KB of Python objects every five seconds, fourteen megabytes in all,
which came to be within the first quarter of an hour and looked like a leak. Of what is older
than the tables speak of, only its point of the curves is left.
"""

from __future__ import annotations

import math
import threading
import time
from array import array
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

INTERVAL = 5.0
"""Seconds between two looks."""
KEPT = 15 * 60.0
"""Seconds of which the curves tell."""
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
    """What one method or stage came to between two looks.

    `buckets` maps an upper bound to how many were at most that long, `codes` how many ended which way.
    """

    buckets: Buckets = field(default_factory=dict)
    codes: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def count(self) -> float:
        """How many there were."""
        return max(self.buckets.values(), default=0.0)


class Column(NamedTuple):
    """What one number of a look counts: a `part` ("bucket", "code" or "seconds") of a method, page or stage.

    `label` is the bucket's upper bound or the code's name, as Prometheus writes it.
    """

    kind: str
    name: str
    part: str
    label: str


@dataclass(frozen=True, slots=True)
class Look:
    """What all columns had come to at one time, in their order; those that came later were at nothing."""

    time: float
    counts: array[float]


class Point(NamedTuple):
    """What came between a look and the one before, over all calls: a second, and quantiles in seconds."""

    time: float
    rate: float
    failed: float
    p50: float | None
    p95: float | None


class History:
    """Looks at a registry again and again. `look` and `tell` may be called from any threads."""

    def __init__(self, registry: CollectorRegistry, *, clock: Callable[[], float] = time.monotonic) -> None:
        # Of these families alone: the whole registry would ask the store for its sizes each time.
        self._sources = [registry.restricted_registry(names) for names in _READ]
        self._clock = clock
        self._lock = threading.Lock()
        self._places: dict[Column, int] = {}
        # From the start, so that the first calls are seen to have come.
        self._looks = deque([self._seen(clock())], maxlen=round(RECENT / INTERVAL) + 1)
        self._points: deque[Point] = deque(maxlen=round(KEPT / INTERVAL))

    def look(self) -> None:
        """Look, if it is time to."""
        now = self._clock()
        with self._lock:
            before = self._looks[-1]
            if now - before.time >= INTERVAL:
                self._looks.append(self._seen(now))
                self._points.append(self._point(before, self._looks[-1]))

    def tell(self) -> dict[str, Any]:
        """Tell rate and latency: over time for all calls, and lately for each method and stage."""
        with self._lock:
            now = self._seen(self._clock())
            looks = [*self._looks, now]
            points = list(self._points)
            before = looks[bisect_left(looks, now.time - RECENT, key=lambda each: each.time)]
            lately = self._between(before, now)
        seconds = now.time - before.time
        return {
            "interval": INTERVAL,
            "kept": KEPT,
            "recent": seconds,
            "over_time": [
                {"ago": now.time - each.time, "rate": each.rate, "failed": each.failed,
                 "p50": each.p50, "p95": each.p95}
                for each in points
            ],
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
        }  # fmt: skip

    def _seen(self, now: float) -> Look:
        counts = array("d", bytes(8 * len(self._places)))
        for source in self._sources:
            for family in source.collect():
                for column, value in _counted(family):
                    place = self._places.setdefault(column, len(counts))
                    if place == len(counts):
                        counts.append(0.0)
                    counts[place] += value
            # All of it takes 4 ms of Python; the event loop need not wait for the whole of that.
            time.sleep(0)
        return Look(now, counts)

    def _between(self, before: Look, now: Look) -> dict[tuple[str, str], Series]:
        """What came between two looks, without what did not come at all."""
        found: dict[tuple[str, str], Series] = defaultdict(Series)
        earlier = [*before.counts, *[0.0] * (len(now.counts) - len(before.counts))]
        for column, count, less in zip(self._places, now.counts, earlier, strict=True):
            series = found[column.kind, column.name]
            match column.part:
                case "bucket":
                    series.buckets[float(column.label)] = count - less
                case "code":
                    series.codes[column.label] = count - less
                case _:
                    series.seconds = count - less
        return {key: series for key, series in found.items() if series.count or any(series.codes.values())}

    def _point(self, before: Look, now: Look) -> Point:
        if now.counts == before.counts:
            return Point(now.time, 0.0, 0.0, None, None)
        calls = [series for (kind, _), series in self._between(before, now).items() if kind != "stage"]
        buckets: Buckets = defaultdict(float)
        for series in calls:
            for bound, value in series.buckets.items():
                buckets[bound] += value
        seconds = now.time - before.time
        return Point(
            now.time,
            sum(each.count for each in calls) / seconds,
            sum(value for each in calls for code, value in each.codes.items() if code != "OK") / seconds,
            quantile(buckets, 0.5),
            quantile(buckets, 0.95),
        )


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


def _counted(family: Metric) -> Iterator[tuple[Column, float]]:
    """Take a family apart; several of its samples can be of one column."""
    for sample in family.samples:
        labels = sample.labels
        if family.name == _CALLS and sample.name.endswith("_total"):
            yield Column("method", _method(labels), "code", labels["grpc_code"]), sample.value
        elif family.name == _PAGE and sample.name.endswith("_bucket"):
            name = f"page/{labels['call']}"
            yield Column("page", name, "bucket", labels["le"]), sample.value
            if labels["le"] == "+Inf":
                yield Column("page", name, "code", labels["reason"]), sample.value
        elif family.name == _SECONDS and sample.name.endswith("_bucket"):
            yield Column("method", _method(labels), "bucket", labels["le"]), sample.value
        elif family.name == _STAGES and sample.name.endswith("_bucket"):
            yield Column("stage", labels["stage"], "bucket", labels["le"]), sample.value
        elif family.name == _STAGES and sample.name.endswith("_sum"):
            yield Column("stage", labels["stage"], "seconds", ""), sample.value


def _method(labels: Mapping[str, str]) -> str:
    return f"{labels['grpc_service'].rpartition('.')[2]}/{labels['grpc_method']}"


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

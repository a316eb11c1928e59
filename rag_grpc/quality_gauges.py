"""What was measured of quality last, for Prometheus: the port `Scoreboard` as a collector.

Bounded, whatever callers measure: of many collections those that were measured last are shown, and
each kind of measuring brings a bounded number of scores.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rag_grpc.core.quality import Origin
from rag_grpc.telemetry import TOLD_APART


@dataclass(frozen=True, slots=True)
class _Measured:
    """The result of one measuring; `time` in seconds since 1970."""

    scores: Mapping[str, float]
    time: float


class QualityGauges(Collector):
    """Keeps the last scores of each kind for up to 50 collections of each origin.

    `collections` gives the names of those that are there, for any thread: what was removed is not shown.
    """

    def __init__(self, collections: Callable[[], Collection[str]]) -> None:
        self._collections = collections
        self._lock = threading.Lock()
        self._measured: dict[Origin, OrderedDict[str, dict[str, _Measured]]] = {
            origin: OrderedDict() for origin in Origin
        }

    def post(
        self, collection: str, kind: str, scores: Mapping[str, float], origin: Origin, time: int
    ) -> None:
        """Show the scores of one measuring in place of those of the one before."""
        with self._lock:
            measured = self._measured[origin]
            measured.setdefault(collection, {})[kind] = _Measured(dict(scores), time / 1e9)
            measured.move_to_end(collection)
            while len(measured) > TOLD_APART:
                measured.popitem(last=False)

    def collect(self) -> Iterator[Metric]:
        """Give both families, also where nothing was measured yet."""
        scores = GaugeMetricFamily(
            "rag_quality_score",
            "What was measured last.",
            labels=("collection", "measure", "origin"),
        )
        times = GaugeMetricFamily(
            "rag_quality_measured_timestamp_seconds",
            "When it was measured.",
            labels=("collection", "kind", "origin"),
        )
        for origin, name, kind, measured in self._shown():
            times.add_metric((name, kind, origin.value), measured.time)
            for measure, value in measured.scores.items():
                scores.add_metric((name, measure, origin.value), value)
        yield scores
        yield times

    def _shown(self) -> list[tuple[Origin, str, str, _Measured]]:
        there = {"", *self._collections()}
        with self._lock:
            return [
                (origin, name, kind, measured)
                for origin, collections in self._measured.items()
                for name, kinds in collections.items()
                if name in there
                for kind, measured in kinds.items()
            ]

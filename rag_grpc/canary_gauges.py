"""What the canary says of itself, for Prometheus: how it does, not what it found."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rag_grpc.core.canary import CanaryState


class CanaryGauges(Collector):
    """Reads a canary's state at each scrape. Without one every family is there, and empty."""

    def __init__(self, state: CanaryState | None) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Give every family."""
        interval = GaugeMetricFamily(
            "rag_canary_interval_seconds", "How long after the beginning of a run the next one begins."
        )
        questions = GaugeMetricFamily("rag_canary_questions", "Questions in the canary's file.")
        last = GaugeMetricFamily(
            "rag_canary_last_run_timestamp_seconds", "When the last run ended that measured something."
        )
        runs = CounterMetricFamily("rag_canary_runs", "Runs since the server started.")
        failures = CounterMetricFamily(
            "rag_canary_failures", "What could not be measured, by why.", labels=("reason",)
        )
        if (state := self._state) is not None:
            interval.add_metric((), state.interval)
            questions.add_metric((), state.questions)
            runs.add_metric((), state.runs)
            if state.last_run is not None:
                last.add_metric((), state.last_run)
            for reason, count in state.failures.items():
                failures.add_metric((reason,), count)
        yield from (interval, questions, last, runs, failures)

"""The metrics of calls, under the names that every gRPC dashboard knows.

py-grpc-prometheus cannot intercept an asyncio server, and counts streams wrongly
in the other one. Its metric objects carry the names, help texts and labels, so
they are what is fed here. Its histogram is replaced by one of the same name:
its buckets begin at 5 ms, which is more than most queries take.

Their numbers are plain ones, which the event loop alone adds to. prometheus-client's own
take a lock and look for exemplars each time, so that the six of a call cost as much as
its admission, deadline and errors together: 19 µs of the event loop, and 3 this way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram
from py_grpc_prometheus.server_metrics import get_grpc_server_handled_counter, init_metrics

from rag_grpc.rpc.interceptors.call import Method
from rag_grpc.rpc.status import TABLE

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_LABELS = ("grpc_type", "grpc_service", "grpc_method")
_EXPECTED = {row.code for row in TABLE.values()} | {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}
"""The codes that calls end with. A series for one that never comes costs each scrape."""


class CallMetrics:
    """The metric objects. One instance a registry: the names can be registered once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        theirs = init_metrics(registry)
        registry.unregister(theirs["legacy_grpc_server_handled_latency_seconds"])
        registry.unregister(theirs["grpc_server_handled_histogram"])
        self.started: Counter = theirs["grpc_server_started_counter"]
        self.received: Counter = theirs["grpc_server_stream_msg_received"]
        self.sent: Counter = theirs["grpc_server_stream_msg_sent"]
        self.handled: Counter = get_grpc_server_handled_counter(False, registry)  # not legacy
        self.handling = Histogram(
            "grpc_server_handling_seconds",
            "Histogram of response latency (seconds) of gRPC that had been application-level handled.",
            _LABELS,
            buckets=BUCKETS,
            registry=registry,
        )
        self.requests = Counter(
            "app_requests_total", "Calls answered, by method and code.", ("method", "code"), registry=registry
        )


class PlainNumber:
    """Stands where a metric has its value, with what the metric asks of it. One thread may add."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0.0

    def count(self, _bytes: int = 0) -> None:
        """Add one."""
        self.number += 1

    def get(self) -> float:
        """Give the number, to whichever thread."""
        return self.number

    def get_exemplar(self) -> None:
        """Give none: there are no traces to point to."""


class Durations:
    """The numbers of one histogram's series."""

    __slots__ = ("_buckets", "_seconds")

    def __init__(self, series: Any) -> None:
        # Private, as is `_value` below: there is no public way, and tests read what Prometheus would.
        self._seconds = series._sum = PlainNumber()  # noqa: SLF001
        self._buckets = series._buckets = [PlainNumber() for _ in (*BUCKETS, float("inf"))]  # noqa: SLF001

    def add(self, seconds: float) -> None:
        """Note one call."""
        self._buckets[bisect_left(BUCKETS, seconds)].number += 1
        self._seconds.number += seconds


def _plain(series: Any) -> PlainNumber:
    """Give the series of a counter a plain number, and return it."""
    number = series._value = PlainNumber()  # noqa: SLF001 # see Durations
    return number


class MethodSeries:
    """The time series of one method, looked up once: `labels()` costs as much as counting."""

    def __init__(self, metrics: CallMetrics, method: Method) -> None:
        values = (method.type, method.service, method.name)
        path = method.path[1:]
        self.started = _plain(metrics.started.labels(*values))
        self.received = _plain(metrics.received.labels(*values))
        self.sent = _plain(metrics.sent.labels(*values))
        self.handling = Durations(metrics.handling.labels(*values))
        self.handled = _ByCode(lambda code: _plain(metrics.handled.labels(*values, code.name)), _EXPECTED)
        self.requests = _ByCode(
            lambda code: _plain(metrics.requests.labels(path, code.name)), {grpc.StatusCode.OK}
        )


class _ByCode(dict[grpc.StatusCode, PlainNumber]):
    """Numbers by code: some from the start, others when they are first asked for."""

    def __init__(self, make: Callable[[grpc.StatusCode], PlainNumber], codes: set[grpc.StatusCode]) -> None:
        super().__init__((code, make(code)) for code in codes)
        self._make = make

    def __missing__(self, code: grpc.StatusCode) -> PlainNumber:
        number = self[code] = self._make(code)
        return number

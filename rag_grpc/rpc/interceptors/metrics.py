"""Counts and times calls."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from prometheus_client import CollectorRegistry

from rag_grpc.rpc.call_metrics import CallMetrics, MethodSeries
from rag_grpc.rpc.interceptors.base import CallInterceptor, Proceed
from rag_grpc.rpc.interceptors.call import Call, Method

_UNSETTLED = grpc.StatusCode.UNKNOWN


class Metrics(CallInterceptor):
    """Feeds the metrics. Every series of `methods` exists from the start, so that `rate()` sees the first."""

    def __init__(self, registry: CollectorRegistry, methods: Iterable[Method]) -> None:
        self._metrics = CallMetrics(registry)
        self._series = {method.path: MethodSeries(self._metrics, method) for method in methods}

    async def around(self, call: Call, proceed: Proceed) -> bytes | None:
        """Count the call and its messages, and time it."""
        series = self._series.get(call.method.path)
        if series is None:
            series = self._series[call.method.path] = MethodSeries(self._metrics, call.method)
        series.started.number += 1
        call.on_received, call.on_sent = series.received.count, series.sent.count
        try:
            return await proceed(call)
        finally:
            code = call.code or _UNSETTLED
            series.handling.add(call.elapsed())
            series.handled[code].number += 1
            series.requests[code].number += 1

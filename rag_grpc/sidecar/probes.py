"""What machines ask: /metrics for Prometheus, /healthz and /readyz for orchestrators."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from rag_grpc.sidecar.exchange import Request, Response, plain
from rag_grpc.sidecar.loop_line import LOOP_TIMEOUT, LoopLine
from rag_grpc.sidecar.routes import Route


class Probes:
    """Answers the three. `not_ready` is called on the loop and gives the reason, "" where all is well."""

    def __init__(self, line: LoopLine, *, registry: CollectorRegistry, not_ready: Callable[[], str]) -> None:
        self._line = line
        self._registry = registry
        self._not_ready = not_ready

    def routes(self) -> dict[str, Route]:
        """Say which paths these are."""
        return {
            "/metrics": Route(self._metrics),
            "/healthz": Route(self._alive),
            "/readyz": Route(self._ready),
        }

    def _metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(HTTPStatus.OK, content_type, encode(self._registry))

    def _alive(self, _request: Request) -> Response:
        silent = self._line.ask(lambda: True) is None
        return _judged(f"the event loop did not answer within {LOOP_TIMEOUT:g} s" if silent else "")

    def _ready(self, _request: Request) -> Response:
        reason = self._line.ask(self._not_ready)
        return _judged("the event loop does not answer" if reason is None else reason)


def _judged(trouble: str) -> Response:
    return plain(HTTPStatus.SERVICE_UNAVAILABLE if trouble else HTTPStatus.OK, trouble or "ok")

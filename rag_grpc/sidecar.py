"""HTTP beside gRPC, for those who speak no gRPC: /metrics, /healthz, /readyz.

The standard library's server, in a thread of its own: rendering metrics does not
hold up the event loop, and when the loop itself is stuck the metrics can still be
read and /healthz can say so. It serves a scraper and a prober, so it takes few
connections, each for a short time, and no bodies.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 16
IDLE_TIMEOUT = 5.0
"""Seconds that a connection may be silent."""
LOOP_TIMEOUT = 2.0
"""Seconds in which the event loop must answer to be called alive."""
_PLAIN = "text/plain; charset=utf-8"


class Sidecar(ThreadingHTTPServer):
    """Answers in threads of its own; asks the event loop what only the loop may say.

    `not_ready` is called on the loop and gives the reason for not serving, "" where all is well.
    """

    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(
        self, host: str, port: int, *, registry: CollectorRegistry, not_ready: Callable[[], str]
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.registry = registry
        self._not_ready = not_ready
        self._loop = asyncio.get_running_loop()
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((host, port), _Handler)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: host and real port."""
        return self.server_address[0], self.server_address[1]  # type: ignore[return-value] # bytes for no family of ours

    def ask_loop(self) -> str | None:
        """Ask the loop whether it is ready: the reason why not, "" where it is, None where it is silent."""
        answer: Future[str] = Future()

        def give() -> None:
            if answer.set_running_or_notify_cancel():
                answer.set_result(self._not_ready())

        try:
            self._loop.call_soon_threadsafe(give)
            return answer.result(LOOP_TIMEOUT)
        except (TimeoutError, RuntimeError):  # RuntimeError: the loop is closed
            answer.cancel()
            return None

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, or close it where all places are taken."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection and give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 # the base's signature
        """Log what the base would print. Callers who hang up are no error."""
        log.debug("http_connection_failed", error=repr(sys.exception()))


class _Handler(BaseHTTPRequestHandler):
    """One request a connection: HTTP/1.0, as the base speaks it by default."""

    server: Sidecar
    timeout = IDLE_TIMEOUT
    server_version = "rag-grpc"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one of the three paths."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, encode(self.server.registry), content_type)
        elif path == "/healthz":
            silent = self.server.ask_loop() is None
            self._judge(f"the event loop did not answer within {LOOP_TIMEOUT:g} s" if silent else "")
        elif path == "/readyz":
            reason = self.server.ask_loop()
            self._judge("the event loop does not answer" if reason is None else reason)
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"there are /metrics, /healthz and /readyz\n", _PLAIN)

    def do_HEAD(self) -> None:
        """Answer the same, without the body."""
        self.do_GET()

    def _judge(self, trouble: str) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if trouble else HTTPStatus.OK
        self._answer(status, f"{trouble or 'ok'}\n".encode(), _PLAIN)

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the base's name for it
        """Say what the base would print to standard error."""
        log.debug("http_request", line=format % args)


@asynccontextmanager
async def running_sidecar(
    host: str, port: int, *, registry: CollectorRegistry, not_ready: Callable[[], str]
) -> AsyncIterator[Sidecar]:
    """Serve until left. Raises OSError where the address cannot be bound."""
    try:
        sidecar = Sidecar(host, port, registry=registry, not_ready=not_ready)
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    thread = threading.Thread(target=sidecar.serve_forever, args=(0.1,), name="sidecar", daemon=True)
    thread.start()
    try:
        yield sidecar
    finally:
        await asyncio.to_thread(sidecar.shutdown)
        sidecar.server_close()
        await asyncio.to_thread(thread.join)

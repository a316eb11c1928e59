"""The sidecar's HTTP server: takes connections, reads requests, sends what the routes answer.

The standard library's, in threads of its own: rendering metrics does not hold up the
event loop, and when the loop itself is stuck the metrics can still be read and
/healthz can say so. It serves a scraper, a prober and some people, so it takes few
connections, each for one request, small bodies, and little time to send them.
"""

from __future__ import annotations

import asyncio
import select
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import structlog

from rag_grpc.sidecar.exchange import Request, Response, plain
from rag_grpc.sidecar.routes import Routes

log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 32
"""Browsers open six at once and keep some ready that they may never use."""
IDLE_TIMEOUT = 5.0
"""Seconds that a connection may be silent."""
READ_SECONDS = 10.0
"""Seconds in which a request must be there, whole: one that trickles in is cut off."""
MAX_BODY_BYTES = 64 * 1024
_POLL = 0.1


class Sidecar(ThreadingHTTPServer):
    """Answers by `routes`, each request in a thread of its own. `tick` is called every 0.1 s or so."""

    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, host: str, port: int, *, routes: Routes, tick: Callable[[], None]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.routes = routes
        self._tick = tick
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._reading: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: host and real port."""
        return self.server_address[0], self.server_address[1]  # type: ignore[return-value] # bytes for no family of ours

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, or close it where all places are taken."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        with self._lock:
            self._reading[request] = time.monotonic() + READ_SECONDS
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection and give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.has_read(request)
            self._places.release()

    def has_read(self, request: Any) -> None:
        """Note that a request is there, whole: from here on it is the server that takes its time."""
        with self._lock:
            self._reading.pop(request, None)

    def service_actions(self) -> None:
        """Do what is to be done now and then; cut off whoever takes too long to say what he wants."""
        self._tick()
        now = time.monotonic()
        with self._lock:
            late = [each for each, until in self._reading.items() if until < now]
            for each in late:
                del self._reading[each]
        for each in late:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 # the base's signature
        """Log what the base would print. Callers who hang up are no error."""
        error = sys.exception()
        if isinstance(error, OSError):
            log.debug("http_connection_failed", error=repr(error))
        else:
            log.error("http_failed", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    """One request a connection: HTTP/1.0, as the base speaks it by default."""

    server: Sidecar
    timeout = IDLE_TIMEOUT
    server_version = "rag-grpc"
    sys_version = ""
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(message)s\n"

    def do_GET(self) -> None:
        """Answer by the routes, whatever the method: they know which they take."""
        body = self._body()
        if isinstance(body, Response):
            self._send(body)
            return
        self.server.has_read(self.connection)
        headers = {name.lower(): value for name, value in self.headers.items()}
        path, _, query = self.path.partition("?")
        request = Request(self.command, path, headers, body, dict(parse_qsl(query)), self._gone)
        try:
            response = self.server.routes.answer(request)
        except Exception:
            # What escapes is a fault of ours, and its text stays in the log.
            log.exception("http_failed", path=path)
            response = plain(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the server; its log has it")
        self._send(response)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 # the base's names

    def _body(self) -> bytes | Response:
        """Read what was sent, or say why it is not taken. Bodies in chunks are of no use to anybody here."""
        length = self.headers.get("Content-Length")
        if self.headers.get("Transfer-Encoding"):
            return plain(HTTPStatus.LENGTH_REQUIRED, "send a Content-Length, and the body in one piece")
        if length is None:
            return b""
        if not (length.isascii() and length.isdigit()):
            return plain(HTTPStatus.BAD_REQUEST, "Content-Length is no number")
        if len(length) > len(str(MAX_BODY_BYTES)) or int(length) > MAX_BODY_BYTES:
            return plain(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {MAX_BODY_BYTES} bytes, not more"
            )
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionResetError("the caller left before the body was there")
        return body

    def _gone(self) -> bool:
        """See whether the caller has hung up: then the connection can be read, and holds nothing."""
        poll = select.poll()  # not select(), which takes no file number above 1,023
        try:
            poll.register(self.connection, select.POLLIN)
            return bool(poll.poll(0)) and not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if isinstance(response.body, bytes):
            if response.status is not HTTPStatus.NOT_MODIFIED:
                self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(response.body)
            return
        self.end_headers()
        with closing(response.body) as pieces:
            for piece in pieces:
                self.wfile.write(piece)

    def version_string(self) -> str:
        """Name the server, and no versions."""
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the base's name for it
        """Say what the base would print to standard error."""
        log.debug("http_request", line=format % args)


@asynccontextmanager
async def running_sidecar(
    host: str, port: int, *, routes: Routes, tick: Callable[[], None] = lambda: None
) -> AsyncIterator[Sidecar]:
    """Serve until left. Raises OSError where the address cannot be bound."""
    try:
        sidecar = Sidecar(host, port, routes=routes, tick=tick)
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    thread = threading.Thread(target=sidecar.serve_forever, args=(_POLL,), name="sidecar", daemon=True)
    thread.start()
    try:
        yield sidecar
    finally:
        await asyncio.to_thread(sidecar.shutdown)
        sidecar.server_close()
        await asyncio.to_thread(thread.join)

"""A load generator for HTTP/1.1: recorded requests over connections that stay open, one at a time on each.

As `benchmarks.raw_frames` does for gRPC, it sends bytes made beforehand, and of what
comes back it looks at the length alone while the clock runs.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence

HEAD_END = b"\r\n\r\n"


def unary(address: str, requests: Sequence[bytes], in_flight: int) -> tuple[float, list[float], list[bytes]]:
    """Send requests, so many in flight; return seconds in all, each one's seconds, and the bodies.

    Raises RuntimeError for an answer that is no 200, has no length, or breaks off.
    """
    host, port = address.rsplit(":", 1)
    connections = [_Connection(host, int(port)) for _ in range(min(in_flight, len(requests)))]
    try:
        return _run(connections, requests)
    finally:
        for connection in connections:
            connection.close()


def _run(connections: list[_Connection], requests: Sequence[bytes]) -> tuple[float, list[float], list[bytes]]:
    latencies, bodies = [0.0] * len(requests), [b""] * len(requests)
    with selectors.DefaultSelector() as selector:
        began = time.perf_counter()
        places = iter(range(len(requests)))
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
            connection.send(place := next(places), requests[place])
        done = 0
        while done < len(requests):
            for key, _ in selector.select():
                ready: _Connection = key.fileobj  # type: ignore[assignment]  # what was registered
                body = ready.receive()
                if body is None:
                    continue
                latencies[ready.place] = time.perf_counter() - ready.began
                bodies[ready.place] = body
                done += 1
                if (place := next(places, -1)) >= 0:
                    ready.send(place, requests[place])
        return time.perf_counter() - began, latencies, bodies


class _Connection:
    """One connection and the answer that it waits for."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self.place = 0
        self.began = 0.0

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def send(self, place: int, request: bytes) -> None:
        self.place, self.began = place, time.perf_counter()
        self._socket.sendall(request)

    def receive(self) -> bytes | None:
        """Take what is there; the body once it is whole."""
        part = self._socket.recv(1 << 18)
        if not part:
            raise RuntimeError("the server closed the connection")
        self._received += part
        head, separator, body = self._received.partition(HEAD_END)
        if not separator or len(body) < _length(head):
            return None
        self._received = b""
        return body


def _length(head: bytes) -> int:
    first, *lines = head.split(b"\r\n")
    if first.split(b" ")[1:2] != [b"200"]:
        raise RuntimeError(f"the server answers {first.decode(errors='replace')}")
    fields = dict(line.lower().split(b": ", 1) for line in lines)
    if b"content-length" not in fields or b"content-encoding" in fields:
        raise RuntimeError("the answer has no plain length")
    return int(fields[b"content-length"])

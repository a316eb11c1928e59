"""The harness for peers, on the project's own server, measured by the same rules; and its load for HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.peers import http_replay, measuring
from benchmarks.peers.measuring import Measuring
from benchmarks.peers.results import Results
from benchmarks.peers.servers import OWN


class Echo(BaseHTTPRequestHandler):
    """Sends bodies back; refuses one."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(500 if body == b"refuse" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def request(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.mark.parametrize("in_flight", [1, 3, 50])
def test_every_recorded_request_gets_its_own_answer(echo: str, in_flight: int) -> None:
    bodies = [str(number).encode() * (1 + number * 997) for number in range(20)]
    _, latencies, answers = http_replay.unary(echo, [request(body) for body in bodies], in_flight)
    assert answers == bodies
    assert min(latencies) > 0


def test_an_answer_that_is_no_success_is_not_counted_as_one(echo: str) -> None:
    with pytest.raises(RuntimeError, match="500"):
        http_replay.unary(echo, [request(b"fine"), request(b"refuse")], 1)


@pytest.mark.slow
def test_the_own_server_is_measured_like_a_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "SWEEP", (20, measuring.EFFORT))
    monkeypatch.setattr(measuring, "LOADS", (1, 4))
    monkeypatch.setattr(measuring, "FEWEST", 20)
    monkeypatch.setattr(measuring, "MOST", 20)
    measured = Measuring([OWN], 500, tmp_path, queries=20)
    assert list(measured.stages(ingest_rounds=2, rounds=2))[-1] == "load"
    results = measured.results
    outcome = results.outcomes[OWN]
    assert not outcome.failure
    assert (outcome.effort, outcome.matched) == (measuring.EFFORT, True)
    assert outcome.recall > 0.9
    assert [len(outcome.throughput), len(outcome.latency_ms), len(outcome.ingest)] == [2, 2, 2]
    assert [point.effort for point in outcome.sweep] == [20, measuring.EFFORT]
    assert [point.in_flight for point in outcome.load] == [1, 4]
    assert outcome.memory_mb > 10
    assert Results.from_json(results.as_json()) == results
    assert "| rag-grpc |" in results.table()

"""An HTTP server that speaks OpenAI's /v1/embeddings, and misbehaves on order."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tests.contracts.fakes import LetterEmbedder

DIMENSION = LetterEmbedder.dimension

Answer = Callable[["_Handler", dict[str, Any]], None]


def good(handler: _Handler, body: dict[str, Any]) -> None:
    """Answer as the protocol wants it."""
    handler.answer(200, embeddings(body["input"], body.get("dimensions")))


def status(code: int, **headers: str) -> Answer:
    """Answer with an error, as OpenAI words them."""

    def answer(handler: _Handler, _: dict[str, Any]) -> None:
        error = {"error": {"message": "no, and your key sk-hunter2 is known", "type": "x", "code": None}}
        handler.answer(
            code, json.dumps(error), {key.replace("_", "-"): each for key, each in headers.items()}
        )

    return answer


def text(content: str, kind: str = "application/json") -> Answer:
    """Answer with this text."""
    return lambda handler, _: handler.answer(200, content, {"Content-Type": kind})


def changed(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Answer:
    """Answer with the right embeddings, changed."""

    def answer(handler: _Handler, body: dict[str, Any]) -> None:
        whole = json.loads(embeddings(body["input"]))
        whole["data"] = change(whole["data"])
        handler.answer(200, json.dumps(whole))

    return answer


def stall(handler: _Handler, _: dict[str, Any]) -> None:
    """Say nothing until the server ends."""
    handler.server_of.ending.wait(30)


def trickle(handler: _Handler, _: dict[str, Any]) -> None:
    """Send a byte now and then, so that no single read takes long."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server_of.ending.wait(0.02):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def break_off(handler: _Handler, body: dict[str, Any]) -> None:
    """Close the connection in the middle of the answer."""
    content = embeddings(body["input"]).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


def embeddings(texts: Sequence[str], dimension: int | None = None) -> str:
    """Word the embeddings of texts as the protocol does."""
    rows = vectors(texts)[:, :dimension]
    data = [
        {"object": "embedding", "index": place, "embedding": [float(each) for each in row]}
        for place, row in enumerate(rows)
    ]
    return json.dumps({"object": "list", "data": data, "model": "letters", "usage": {"total_tokens": 1}})


def vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """What the server makes of texts: counts of letters."""
    return LetterEmbedder().embed(texts)


@dataclass
class EmbeddingsServer:
    """What the server was asked, and what it is to do next; where that is nothing, it does well."""

    url: str = ""
    orders: deque[Answer] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)

    @property
    def asked(self) -> list[list[str]]:
        """The texts of each request."""
        return [each["input"] for each in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: ClassVar[EmbeddingsServer]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = self.server_of
        told.requests.append(body)
        told.headers.append({key.lower(): each for key, each in self.headers.items()})
        told.arrived.set()
        order = told.orders.popleft() if told.orders else good
        try:
            if self.path != "/v1/embeddings" or body["encoding_format"] != "float":
                self.answer(404, "{}")
            elif any(not each for each in body["input"]):
                # As OpenAI does with the empty text.
                self.answer(400, "{}")
            else:
                order(self, body)
        except OSError:
            # Whoever asked has given up.
            pass
        if order in (stall, trickle, break_off):
            self.close_connection = True

    def answer(self, code: int, content: str, headers: dict[str, str] | None = None) -> None:
        encoded = content.encode()
        self.send_response(code)
        for key, each in {
            "Content-Type": "application/json",
            "Content-Length": str(len(encoded)),
            **(headers or {}),
        }.items():
            self.send_header(key, each)
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the name that it has there
        """Say nothing."""


@contextmanager
def embeddings_server() -> Iterator[EmbeddingsServer]:
    """Serve on a free port until left."""
    told = EmbeddingsServer()
    handler = type("Handler", (_Handler,), {"server_of": told})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield told
    finally:
        told.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()

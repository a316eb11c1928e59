"""What is asked over HTTP, and what is answered: plain values between the server and who answers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias

PLAIN = "text/plain; charset=utf-8"
JSON = "application/json"
LINES = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its body read. `headers` have names in lower case, `query` what stands behind the "?".

    `gone` says whether the caller has hung up; it may be asked from the thread that answers.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)
    gone: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Response:
    """One response. A `body` that comes in pieces is sent as it comes, and ends with the connection."""

    status: HTTPStatus
    content_type: str
    body: bytes | Generator[bytes, None, None]
    headers: Mapping[str, str] = field(default_factory=lambda: {"Cache-Control": "no-store"})


Answering: TypeAlias = Callable[[Request], Response]


def plain(status: HTTPStatus, text: str, **headers: str) -> Response:
    """Answer with a line of text that nobody may keep."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, PLAIN, f"{text}\n".encode(), {"Cache-Control": "no-store", **named})

"""The page's own files, which lie beside the code and are sent as they are: nothing is built.

They are read once, at the start. A browser may keep them and must ask each time whether
they are still the same, so that after an upgrade nobody sees half of the old page.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files

from rag_grpc.sidecar.exchange import Request, Response

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
INDEX = "index.html"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    content_type: str
    body: bytes
    tag: str

    def answer(self, request: Request) -> Response:
        """Send the file, or say that the one that the browser has is still right."""
        headers = {"Cache-Control": "no-cache", "ETag": self.tag}
        known = [
            each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")
        ]
        if self.tag in known or known == ["*"]:
            return Response(HTTPStatus.NOT_MODIFIED, self.content_type, b"", headers)
        return Response(HTTPStatus.OK, self.content_type, self.body, headers)


def page_assets() -> dict[str, Asset]:
    """Read all of them, by the path that each is served at."""
    return {
        "/" if file.name == INDEX else f"/page/{file.name}": _asset(file.name, file.read_bytes())
        for file in (files("rag_grpc.sidecar") / "page").iterdir()
        if file.name.rpartition(".")[2] in _TYPES
    }


def _asset(name: str, body: bytes) -> Asset:
    return Asset(_TYPES[name.rpartition(".")[2]], body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

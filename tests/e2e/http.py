"""Plain HTTP to a server's sidecar."""

import asyncio
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag_grpc.app import RunningServer


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def reason(self) -> str:
        """The contract's reason in an error of the page."""
        return str(self.json["error"]["reason"])


async def get(
    server: RunningServer,
    path: str,
    *,
    method: str = "GET",
    accept: str = "*/*",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """Ask the sidecar of `server`, in a thread: it asks our loop."""

    def ask() -> Answer:
        connection = http.client.HTTPConnection(server.http_address, timeout=10)
        try:
            connection.request(method, path, body=body, headers={"Accept": accept, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.read().decode(), dict(response.getheaders()))
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def post(
    server: RunningServer, path: str, value: Any, *, headers: Mapping[str, str] | None = None
) -> Answer:
    """Send JSON as the page does; `headers` replace the page's own."""
    own = {"Origin": f"http://{server.http_address}", "Content-Type": "application/json"}
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return await get(server, path, method="POST", body=body, headers=own | dict(headers or {}))

"""Plain HTTP to a server's sidecar."""

import asyncio
import http.client
from dataclasses import dataclass

from rag_grpc.app import RunningServer


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]


async def get(server: RunningServer, path: str, *, method: str = "GET", accept: str = "*/*") -> Answer:
    """Ask the sidecar of `server`, in a thread: it asks our loop."""

    def ask() -> Answer:
        connection = http.client.HTTPConnection(server.http_address, timeout=10)
        try:
            connection.request(method, path, headers={"Accept": accept})
            response = connection.getresponse()
            return Answer(response.status, response.read().decode(), dict(response.getheaders()))
        finally:
            connection.close()

    return await asyncio.to_thread(ask)

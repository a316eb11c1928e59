"""The asyncio client: `RagClient` with `await`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag_client import requests
from rag_client.asynchronous.collections import AsyncCollectionCalls
from rag_client.asynchronous.evaluation import AsyncEvaluationCalls
from rag_client.asynchronous.generation import AsyncGenerationCalls
from rag_client.asynchronous.ingestion import AsyncIngestionCalls
from rag_client.asynchronous.retrieval import AsyncRetrievalCalls

if TYPE_CHECKING:
    from rag_client.models import Pong, ServerInfo


class AsyncRagClient(
    AsyncCollectionCalls, AsyncIngestionCalls, AsyncRetrievalCalls, AsyncGenerationCalls, AsyncEvaluationCalls
):
    """A connection to a rag-grpc server, of one event loop; close it, or use it in an `async with`.

    `target` is a gRPC name ("127.0.0.1:50051", "dns:///rag.example:443"). `credentials` make the connection
    TLS, `metadata` goes with every call. `timeout` holds for every call that ends by itself, `timeouts` for
    single methods by name, each call's own `timeout` before both; in seconds, and infinite means none. Calls
    that may be sent twice are retried where the server is UNAVAILABLE, unless `retries` is false; with
    `wait_for_ready` a call waits for a connection until its deadline.

    An empty `collection` means "default". Every method raises the errors of `rag_client.errors`, and
    ValueError or TypeError for arguments that the contract has no place for.
    """

    async def ping(self, *, timeout: float | None = None) -> Pong:
        """Ask whether the server lives."""
        return await self._send(requests.ping(), timeout)

    async def get_server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """Read what runs there and how much it takes at once."""
        return await self._send(requests.get_server_info(), timeout)

    async def check_health(self, service: str = "", *, timeout: float | None = None) -> str:
        """Ask grpc.health.v1 about a service, or about all: "serving" or "not_serving"."""
        return await self._send(requests.check_health(service), timeout)

"""A scripted server for each test, and both clients under one face."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from clients.python.tests.scripted_server import ScriptedServer, running
from rag_client import AsyncRagClient, RagClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    servicer = ScriptedServer()
    with running(servicer):
        yield servicer


class Ask:
    """Calls a method of one of the clients and takes all that it yields: tests then run for both."""

    def __init__(self, kind: str, target: str) -> None:
        self.kind = kind
        self.target = target

    def __call__(
        self, method: str, *arguments: Any, client: dict[str, Any] | None = None, **named: Any
    ) -> Any:
        if self.kind == "sync":
            with RagClient(self.target, **(client or {})) as sync_client:
                answer = getattr(sync_client, method)(*arguments, **named)
                return list(answer) if inspect.isgenerator(answer) else answer
        return asyncio.run(self._async(method, arguments, client or {}, named))

    async def _async(self, method: str, arguments: Any, client: dict[str, Any], named: Any) -> Any:
        async with AsyncRagClient(self.target, **client) as async_client:
            answer = getattr(async_client, method)(*arguments, **named)
            return [each async for each in answer] if inspect.isasyncgen(answer) else await answer


@pytest.fixture(params=["sync", "asyncio"])
def ask(request: pytest.FixtureRequest, server: ScriptedServer) -> Callable[..., Any]:
    return Ask(request.param, server.target)

"""Starts echo servers that stop with the test."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from rag_grpc.rpc.interceptors.base import CallInterceptor, Chain
from tests.unit.rpc.interceptors.echo_server import Caller, Echo, Handlers, ReasonOf, Serve


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers that stop with the test: `await serve([interceptors], echo, paths={...})`."""
    async with AsyncExitStack() as stack:

        async def start(
            interceptors: Sequence[CallInterceptor],
            echo: Echo | None = None,
            *,
            paths: dict[str, str] | None = None,
            max_request_bytes: int = 1000,
            **options: Any,
        ) -> Caller:
            chain = Chain(interceptors, max_request_bytes=max_request_bytes, **options)
            server = grpc.aio.server(interceptors=(chain,), options=(("grpc.so_reuseport", 0),))
            server.add_generic_rpc_handlers((Handlers(echo or Echo(), paths or {}),))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            stack.push_async_callback(server.stop, None)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            return Caller(channel, chain)

        yield start


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def forever() -> asyncio.Event:
    """Never set: what waits for it is ended by somebody else."""
    return asyncio.Event()


@pytest.fixture
def reason_of() -> ReasonOf:
    """Read the reason out of a failed call's status details."""

    async def read(call: Any) -> str:
        status = status_pb2.Status()
        for key, value in await call.trailing_metadata():
            if key == "grpc-status-details-bin":
                status.ParseFromString(value)
        info = error_details_pb2.ErrorInfo()
        status.details[0].Unpack(info)
        reason: str = info.reason
        return reason

    return read

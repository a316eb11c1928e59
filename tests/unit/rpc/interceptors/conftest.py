"""A tiny real grpc.aio server whose handlers a test writes itself, one of each kind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2, status_pb2

import rag_grpc.rpc.server  # noqa: F401 # loads the contract, whose options say what reads and what writes
from rag_grpc.rpc.interceptors.base import CallInterceptor, Chain

SERVICE = "test.Echo"


@dataclass
class Caller:
    """Calls the four methods of test.Echo, and any other by its path, in decoded or in raw messages."""

    channel: grpc.aio.Channel
    chain: Chain

    def unary(self, path: str = f"/{SERVICE}/Unary", *, raw: bool = False) -> Any:
        return self.channel.unary_unary(path, *_codec(raw=raw))

    def collect(self, path: str = f"/{SERVICE}/Collect", *, raw: bool = False) -> Any:
        return self.channel.stream_unary(path, *_codec(raw=raw))

    def spread(self, path: str = f"/{SERVICE}/Spread", *, raw: bool = False) -> Any:
        return self.channel.unary_stream(path, *_codec(raw=raw))

    def both(self, path: str = f"/{SERVICE}/Both", *, raw: bool = False) -> Any:
        return self.channel.stream_stream(path, *_codec(raw=raw))


def _codec(*, raw: bool) -> tuple[Any, Any]:
    return (None, StringValue.FromString) if raw else (StringValue.SerializeToString, StringValue.FromString)


class Echo:
    """Answers with what it was sent; a test replaces what it wants to see fail."""

    async def unary(self, request: StringValue, context: Any) -> StringValue:
        return request

    async def collect(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        return StringValue(value="".join([each.value async for each in requests]))

    async def spread(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        for letter in request.value:
            yield StringValue(value=letter)

    async def both(self, requests: AsyncIterator[StringValue], context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(request)


_KINDS: dict[str, Callable[..., Any]] = {
    "unary": grpc.unary_unary_rpc_method_handler,
    "collect": grpc.stream_unary_rpc_method_handler,
    "spread": grpc.unary_stream_rpc_method_handler,
    "both": grpc.stream_stream_rpc_method_handler,
}

Serve = Callable[..., Awaitable[Caller]]


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
        ) -> Caller:
            chain = Chain(interceptors, max_request_bytes=max_request_bytes)
            server = grpc.aio.server(interceptors=(chain,), options=(("grpc.so_reuseport", 0),))
            server.add_generic_rpc_handlers((_Handlers(echo or Echo(), paths or {}),))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            stack.push_async_callback(server.stop, None)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            return Caller(channel, chain)

        yield start


class _Handlers(grpc.GenericRpcHandler):
    """Serves test.Echo, and further paths by the kind that a test names."""

    def __init__(self, echo: Echo, paths: dict[str, str]) -> None:
        named = {f"/{SERVICE}/{kind.capitalize()}": kind for kind in _KINDS} | paths
        self._handlers = {
            path: _KINDS[kind](getattr(echo, kind), StringValue.FromString, StringValue.SerializeToString)
            for path, kind in named.items()
        }

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        return self._handlers.get(details.method)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def forever() -> asyncio.Event:
    """Never set: what waits for it is ended by somebody else."""
    return asyncio.Event()


@pytest.fixture
def reason_of() -> Callable[[Any], Awaitable[str]]:
    """Read the reason out of a failed call's status details."""

    async def read(call: Any) -> str:
        status = status_pb2.Status()
        for key, value in await call.trailing_metadata():
            if key == "grpc-status-details-bin":
                status.ParseFromString(value)
        info = error_details_pb2.ErrorInfo()
        status.details[0].Unpack(info)
        return info.reason

    return read

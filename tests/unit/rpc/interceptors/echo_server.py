"""A server for interceptor tests: real grpc.aio, handlers of each kind that a test can replace."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from grpc.aio import EOF  # type: ignore[attr-defined] # the type stubs lack it

import rag_grpc.rpc.server  # noqa: F401 # loads the contract, whose options say what reads and what writes
from rag_grpc.rpc.interceptors.base import Chain

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


async def _unary(request: StringValue, context: Any) -> StringValue:
    return request


async def _collect(requests: AsyncIterator[StringValue], context: Any) -> StringValue:
    return StringValue(value="".join([each.value async for each in requests]))


async def _spread(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
    for letter in request.value:
        yield StringValue(value=letter)


async def _both(requests: AsyncIterator[StringValue], context: Any) -> None:
    while (request := await context.read()) is not EOF:
        await context.write(request)


@dataclass
class Echo:
    """Answers with what it was sent; a test replaces what it wants to see fail."""

    unary: Any = _unary
    collect: Any = _collect
    spread: Any = _spread
    both: Any = _both


KINDS: dict[str, Callable[..., Any]] = {
    "unary": grpc.unary_unary_rpc_method_handler,
    "collect": grpc.stream_unary_rpc_method_handler,
    "spread": grpc.unary_stream_rpc_method_handler,
    "both": grpc.stream_stream_rpc_method_handler,
}

Serve: TypeAlias = Callable[..., Awaitable[Caller]]
ReasonOf: TypeAlias = Callable[[Any], Awaitable[str]]


class Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg] # generic in the type stubs alone
    """Serves test.Echo, and further paths by the kind that a test names."""

    def __init__(self, echo: Echo, paths: dict[str, str]) -> None:
        named = {f"/{SERVICE}/{kind.capitalize()}": kind for kind in KINDS} | paths
        self._handlers = {
            path: KINDS[kind](getattr(echo, kind), StringValue.FromString, StringValue.SerializeToString)
            for path, kind in named.items()
        }

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        return self._handlers.get(details.method)

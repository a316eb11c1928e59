"""What is raised reaches the caller as a status, and nothing of what should stay inside."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from structlog.testing import capture_logs

from rag_grpc.core.errors import CollectionNotFound, StorageFault
from rag_grpc.rpc.interceptors.base import CallInterceptor, Proceed
from rag_grpc.rpc.interceptors.call import Call
from rag_grpc.rpc.interceptors.errors import Errors
from tests.unit.rpc.interceptors.echo_server import Caller, Echo, ReasonOf, Serve


class Look(CallInterceptor):
    """Keeps how each call ended, as log and metrics see it."""

    def __init__(self) -> None:
        self.seen: list[tuple[grpc.StatusCode | None, str]] = []

    async def around(self, call: Call, proceed: Proceed) -> bytes | None:
        try:
            return await proceed(call)
        finally:
            self.seen.append((call.code, call.reason))


@pytest.fixture
def look() -> Look:
    return Look()


async def failing(serve: Serve, echo: Echo, look: Look, error: Exception, kind: str = "unary") -> Caller:
    async def raises(request: Any, context: Any) -> Any:
        raise error

    setattr(echo, kind, raises)
    return await serve([look, Errors()], echo)


@pytest.mark.parametrize("kind", ["unary", "collect", "both"])
async def test_a_typed_error_becomes_its_status(
    serve: Serve, echo: Echo, look: Look, reason_of: ReasonOf, kind: str
) -> None:
    caller = await failing(serve, echo, look, CollectionNotFound("books"), kind)
    call = getattr(caller, kind)()(StringValue() if kind == "unary" else iter([StringValue()]))
    assert await call.code() is grpc.StatusCode.NOT_FOUND
    assert await reason_of(call) == "COLLECTION_NOT_FOUND"
    await caller.chain.idle()
    assert look.seen == [(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND")]


async def test_an_error_in_the_middle_of_a_stream_follows_what_was_sent(
    serve: Serve, echo: Echo, look: Look
) -> None:
    async def spread(request: Any, context: Any) -> Any:
        yield StringValue(value="first")
        raise CollectionNotFound("books")

    echo.spread = spread
    caller = await serve([look, Errors()], echo)
    call = caller.spread()(StringValue())
    assert (await call.read()).value == "first"
    assert await call.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("error", [ValueError("secret /etc/passwd"), StorageFault("secret rows")])
async def test_a_fault_of_ours_stays_in_the_log(
    serve: Serve, echo: Echo, look: Look, reason_of: ReasonOf, error: Exception
) -> None:
    caller = await failing(serve, echo, look, error)
    with capture_logs() as logs:
        call = caller.unary()(StringValue())
        assert await call.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in await call.details()
    assert not any(b"secret" in str(value).encode() for _, value in await call.trailing_metadata())
    assert await reason_of(call) == "INTERNAL"
    assert [(each["event"], each["method"], each["exc_info"]) for each in logs] == [
        ("call_failed", "test.Echo/Unary", True)
    ]


async def test_an_abort_of_the_handler_passes(serve: Serve, echo: Echo, look: Look) -> None:
    async def unary(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.DATA_LOSS, "mine")

    echo.unary = unary
    caller = await serve([look, Errors()], echo)
    call = caller.unary()(StringValue())
    assert (await call.code(), await call.details()) == (grpc.StatusCode.DATA_LOSS, "mine")
    await caller.chain.idle()
    assert look.seen == [(grpc.StatusCode.DATA_LOSS, "")]


async def test_a_code_that_the_handler_set_is_the_calls(serve: Serve, echo: Echo, look: Look) -> None:
    async def unary(request: Any, context: Any) -> Any:
        context.set_code(grpc.StatusCode.OUT_OF_RANGE)
        return request

    echo.unary = unary
    caller = await serve([look, Errors()], echo)
    assert await caller.unary()(StringValue()).code() is grpc.StatusCode.OUT_OF_RANGE
    assert look.seen == [(grpc.StatusCode.OUT_OF_RANGE, "")]


async def test_an_answer_is_ok(serve: Serve, look: Look) -> None:
    caller = await serve([look, Errors()])
    await caller.unary()(StringValue())
    assert look.seen == [(grpc.StatusCode.OK, "")]


async def test_a_cancelled_call_is_cancelled(
    serve: Serve, echo: Echo, look: Look, forever: asyncio.Event
) -> None:
    began = asyncio.Event()

    async def unary(request: Any, context: Any) -> Any:
        began.set()
        await forever.wait()

    echo.unary = unary
    caller = await serve([look, Errors()], echo)
    call = caller.unary()(StringValue())
    await began.wait()
    call.cancel()
    await caller.chain.idle()
    assert look.seen == [(grpc.StatusCode.CANCELLED, "")]


async def test_a_call_whose_deadline_passes_is_told_apart_from_a_cancelled_one(
    serve: Serve, echo: Echo, look: Look, forever: asyncio.Event
) -> None:
    async def unary(request: Any, context: Any) -> Any:
        await forever.wait()

    echo.unary = unary
    caller = await serve([look, Errors()], echo)
    call = caller.unary()(StringValue(), timeout=0.1)
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await caller.chain.idle()
    assert look.seen == [(grpc.StatusCode.DEADLINE_EXCEEDED, "")]


async def test_a_caller_who_leaves_while_we_write_is_no_fault_of_ours(
    serve: Serve, echo: Echo, look: Look, caplog: pytest.LogCaptureFixture
) -> None:
    async def spread(request: Any, context: Any) -> Any:
        while True:
            yield StringValue(value="x" * 100_000)

    echo.spread = spread
    caller = await serve([look, Errors()], echo)
    call = caller.spread()(StringValue())
    await call.read()
    call.cancel()
    await caller.chain.idle()
    assert look.seen == [(grpc.StatusCode.CANCELLED, "")]
    assert not caplog.records

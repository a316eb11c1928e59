"""The wrapper that all interceptors share: order, the four kinds, decoding, closing, idling."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from rag_grpc.core.errors import LimitExceeded
from rag_grpc.rpc.interceptors.base import CallInterceptor, Proceed
from rag_grpc.rpc.interceptors.call import Call, about
from rag_grpc.rpc.interceptors.errors import Errors
from tests.unit.rpc.interceptors.echo_server import Echo, ReasonOf, Serve

OVERSIZED = StringValue(value="x" * 2000)


class Note(CallInterceptor):
    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    async def around(self, call: Call, proceed: Proceed) -> bytes | None:
        self.notes.append(f"{self.name} in")
        try:
            return await proceed(call)
        finally:
            self.notes.append(f"{self.name} out")


async def test_the_first_interceptor_is_the_outermost(serve: Serve) -> None:
    notes: list[str] = []
    caller = await serve([Note("a", notes), Note("b", notes)])
    await caller.unary()(StringValue(value="x"))
    await caller.chain.idle()
    assert notes == ["a in", "b in", "b out", "a out"]


async def test_all_four_kinds_pass_through(serve: Serve) -> None:
    notes: list[str] = []
    caller = await serve([Note("a", notes)])
    words = [StringValue(value=word) for word in ("ab", "cd")]
    assert (await caller.unary()(words[0])).value == "ab"
    assert (await caller.collect()(iter(words))).value == "abcd"
    assert [each.value async for each in caller.spread()(words[0])] == ["a", "b"]
    assert [each.value async for each in caller.both()(iter(words))] == ["ab", "cd"]
    await caller.chain.idle()
    assert notes == ["a in", "a out"] * 4


async def test_a_method_that_is_not_there_stays_grpcs_business(serve: Serve) -> None:
    caller = await serve([])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.unary("/test.Echo/Nothing")(StringValue())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert not caller.chain._wrapped


@pytest.mark.parametrize("kind", ["unary", "spread", "collect", "both"])
@pytest.mark.parametrize(
    ("sent", "ends"),
    [
        (b"\xff\xff\xff", (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")),
        (OVERSIZED.SerializeToString(), (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")),
    ],
    ids=["undecodable", "too large"],
)
async def test_bad_bytes_are_an_error_like_any_other(
    serve: Serve, reason_of: ReasonOf, kind: str, sent: bytes, ends: tuple[grpc.StatusCode, str]
) -> None:
    caller = await serve([Errors()])
    method = getattr(caller, kind)(raw=True)
    call = method(iter([sent]) if kind in ("collect", "both") else sent)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [each async for each in call] if kind in ("spread", "both") else await call
    assert (caught.value.code(), await reason_of(call)) == ends


@pytest.mark.parametrize("kind", ["unary", "collect", "spread", "both"])
async def test_what_does_not_pass_the_look_at_its_bytes_is_never_decoded(
    serve: Serve, reason_of: ReasonOf, kind: str
) -> None:
    looked: list[bytes] = []

    def look(request: bytes) -> None:
        looked.append(request)
        raise LimitExceeded("too many")

    undecodable = b"\xff\xff\xff"
    caller = await serve([Errors()], looks=lambda method: look)
    method = getattr(caller, kind)(raw=True)
    call = method(iter([undecodable]) if kind in ("collect", "both") else undecodable)
    with pytest.raises(grpc.aio.AioRpcError):
        _ = [each async for each in call] if kind in ("spread", "both") else await call
    assert await reason_of(call) == "LIMIT_EXCEEDED"
    assert looked == [undecodable]


async def test_what_is_turned_away_is_never_decoded(serve: Serve) -> None:
    class Refuse(CallInterceptor):
        async def around(self, call: Call, proceed: Proceed) -> bytes | None:
            await call.context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    caller = await serve([Errors(), Refuse()])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.unary(raw=True)(b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_generator_is_closed_in_the_task_of_its_call(
    serve: Serve, echo: Echo, forever: asyncio.Event
) -> None:
    """grpc.aio itself leaves that to the garbage collector, in another task."""
    tasks = []

    async def spread(request: Any, context: Any) -> Any:
        tasks.append(asyncio.current_task())
        try:
            yield StringValue(value="first")
            await forever.wait()
        finally:
            tasks.append(asyncio.current_task())

    echo.spread = spread
    caller = await serve([Errors()], echo)
    call = caller.spread()(StringValue())
    assert (await call.read()).value == "first"
    call.cancel()
    await caller.chain.idle()
    assert len(tasks) == 2
    assert tasks[0] is tasks[1]


async def test_idle_waits_for_the_clean_up_of_cancelled_calls(
    serve: Serve, echo: Echo, forever: asyncio.Event
) -> None:
    """gRPC's own stop() returns before."""
    began, cleaned = asyncio.Event(), asyncio.Event()

    async def unary(request: Any, context: Any) -> Any:
        began.set()
        try:
            await forever.wait()
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            cleaned.set()

    echo.unary = unary
    caller = await serve([Errors()], echo)
    call = caller.unary()(StringValue())
    await began.wait()
    call.cancel()
    await caller.chain.idle()
    assert cleaned.is_set()


async def test_a_call_can_be_told_of_from_anywhere_inside_it(serve: Serve, echo: Echo) -> None:
    seen = {}

    class Look(CallInterceptor):
        async def around(self, call: Call, proceed: Proceed) -> bytes | None:
            response = await proceed(call)
            seen.update(call.about)
            return response

    async def unary(request: Any, context: Any) -> Any:
        about(collection="books", hits=3)
        return request

    echo.unary = unary
    caller = await serve([Look()], echo)
    await caller.unary()(StringValue())
    assert seen == {"collection": "books", "hits": 3}
    about(collection="nobody listens")

"""Reads, writes and streams have their own places; health and the like need none."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2, status_pb2

from rag_grpc.core.answers import Answer
from rag_grpc.rpc.interceptors.admission import Admission
from rag_grpc.rpc.interceptors.base import CallInterceptor
from rag_grpc.rpc.interceptors.call import Work
from rag_grpc.rpc.interceptors.errors import Errors
from tests.unit.rpc.interceptors.echo_server import Echo, ReasonOf, Serve

READ = "/ragapi.v1.RetrievalService/Query"
WRITE = "/ragapi.v1.IngestionService/IngestDocument"
STREAM = "/ragapi.v1.IngestionService/StreamIngestDocuments"
PATHS = {READ: "unary", WRITE: "unary", STREAM: "both", "/ragapi.v1.HealthService/Ping": "unary"}


class Gate:
    """Holds calls until it is opened, and says how many are in."""

    def __init__(self, echo: Echo) -> None:
        self.inside = 0
        self.entered = asyncio.Condition()
        self.open = asyncio.Event()
        echo.unary = self.unary

    async def unary(self, request: Any, context: Any) -> Any:
        if request.value == "hold":
            async with self.entered:
                self.inside += 1
                self.entered.notify_all()
            await self.open.wait()
        return request

    async def holds(self, number: int) -> None:
        async with self.entered:
            await self.entered.wait_for(lambda: self.inside == number)


class Refusals:
    """Telemetry that keeps what was turned away."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def turned_away(self, reason: str) -> None:
        self.reasons.append(reason)

    def stage(self, name: str, seconds: float) -> None:
        raise AssertionError(name)

    def batch(self, kind: str, size: int) -> None:
        raise AssertionError(kind)

    def event(self, name: str) -> None:
        raise AssertionError(name)

    def answered(self, answer: Answer, *, removed_citations: int) -> None:
        raise AssertionError(answer)


@pytest.fixture
def refusals() -> Refusals:
    return Refusals()


def admission(refusals: Refusals, not_ready: str = "", **bounds: int) -> list[CallInterceptor]:
    every = {work: bounds.get(work.value, 10) for work in (Work.READ, Work.WRITE, Work.STREAM)}
    return [Errors(), Admission(every, not_ready=lambda: not_ready, telemetry=refusals)]


async def test_a_full_house_turns_away_and_says_when_to_come_back(
    serve: Serve, echo: Echo, refusals: Refusals, reason_of: ReasonOf
) -> None:
    gate = Gate(echo)
    caller = await serve(admission(refusals, read=2), echo, paths=PATHS)
    held = [caller.unary(READ)(StringValue(value="hold")) for _ in range(2)]
    await gate.holds(2)
    call = caller.unary(READ)(StringValue())
    assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await reason_of(call) == "RATE_LIMITED"
    status = status_pb2.Status.FromString(dict(await call.trailing_metadata())["grpc-status-details-bin"])
    retry = error_details_pb2.RetryInfo()
    assert any(each.Unpack(retry) for each in status.details)
    assert retry.retry_delay.ToMilliseconds() == 500
    assert refusals.reasons == ["too_many_reads"]

    gate.open.set()
    await asyncio.gather(*held)
    assert (await caller.unary(READ)(StringValue(value="in"))).value == "in"


async def test_reads_and_writes_do_not_take_each_others_places(
    serve: Serve, echo: Echo, refusals: Refusals
) -> None:
    gate = Gate(echo)
    caller = await serve(admission(refusals, read=1, write=1), echo, paths=PATHS)
    held = caller.unary(READ)(StringValue(value="hold"))
    await gate.holds(1)
    assert (await caller.unary(WRITE)(StringValue(value="in"))).value == "in"
    assert await caller.unary(READ)(StringValue()).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    gate.open.set()
    await held
    assert refusals.reasons == ["too_many_reads"]


async def test_a_stream_gives_its_place_back_however_it_ends(serve: Serve, refusals: Refusals) -> None:
    caller = await serve(admission(refusals, stream=1), paths=PATHS)
    for _ in range(5):
        call = caller.both(STREAM)()
        await call.write(StringValue(value="x"))
        assert (await call.read()).value == "x"
        assert await caller.both(STREAM)().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        call.cancel()
        await caller.chain.idle()
    assert refusals.reasons == ["too_many_streams"] * 5


async def test_nothing_but_health_and_ping_is_answered_before_all_is_loaded(
    serve: Serve, refusals: Refusals, reason_of: ReasonOf
) -> None:
    caller = await serve(admission(refusals, "the server is loading its data"), paths=PATHS)
    for path in (READ, WRITE):
        call = caller.unary(path)(StringValue())
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert await reason_of(call) == "NOT_READY"
        assert await call.details() == "the server is loading its data"
    assert (await caller.unary("/ragapi.v1.HealthService/Ping")(StringValue(value="ping"))).value == "ping"
    assert refusals.reasons == ["not_ready"] * 2


async def test_those_who_are_exempt_are_never_counted(serve: Serve, echo: Echo, refusals: Refusals) -> None:
    gate = Gate(echo)
    caller = await serve(admission(refusals, read=0, write=0, stream=0), echo, paths=PATHS)
    held = [caller.unary("/ragapi.v1.HealthService/Ping")(StringValue(value="hold")) for _ in range(5)]
    await gate.holds(5)
    gate.open.set()
    await asyncio.gather(*held)
    assert refusals.reasons == []

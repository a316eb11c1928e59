"""One line a call, with what it was about and nothing that its caller wrote."""

import asyncio
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from structlog.testing import capture_logs

from rag_grpc.rpc.interceptors.access_log import AccessLog
from rag_grpc.rpc.interceptors.call import about
from rag_grpc.rpc.interceptors.errors import Errors
from tests.unit.rpc.interceptors.echo_server import Echo, Serve

READ = "/ragapi.v1.RetrievalService/Query"


async def test_a_line_says_what_a_call_was(serve: Serve, echo: Echo) -> None:
    async def unary(request: StringValue, context: Any) -> StringValue:
        about(collection="books", hits=2)
        return request

    echo.unary = unary
    caller = await serve([AccessLog(), Errors()], echo, paths={READ: "unary"})
    with capture_logs() as logs:
        await caller.unary(READ)(StringValue(value="secret words"))
        await caller.chain.idle()
    (line,) = logs
    assert line.pop("ms") > 0
    assert line == {
        "event": "call",
        "log_level": "info",
        "method": "ragapi.v1.RetrievalService/Query",
        "code": "OK",
        "received_bytes": 14,
        "sent_bytes": 14,
        "about": {"collection": "books", "hits": 2},
    }


@pytest.mark.parametrize(("raises", "code"), [(ValueError("x"), "INTERNAL"), (None, "OK")])
async def test_every_call_has_its_line(serve: Serve, echo: Echo, raises: Exception | None, code: str) -> None:
    async def spread(request: StringValue, context: Any) -> Any:
        yield request
        if raises is not None:
            raise raises

    echo.spread = spread
    caller = await serve([AccessLog(), Errors()], echo)
    with capture_logs() as logs:
        call = caller.spread()(StringValue())
        assert await call.read() == StringValue()
        assert (await call.code()).name == code
        await caller.chain.idle()
    assert [each["code"] for each in logs if each["event"] == "call"] == [code]


async def test_a_cancelled_call_has_one_too(serve: Serve, echo: Echo, forever: asyncio.Event) -> None:
    began = asyncio.Event()

    async def unary(request: StringValue, context: Any) -> None:
        began.set()
        await forever.wait()

    echo.unary = unary
    caller = await serve([AccessLog(), Errors()], echo)
    with capture_logs() as logs:
        call = caller.unary()(StringValue())
        await began.wait()
        call.cancel()
        await caller.chain.idle()
    assert [each["code"] for each in logs] == ["CANCELLED"]


async def test_probes_are_for_those_who_ask_for_debug(serve: Serve) -> None:
    caller = await serve([AccessLog(), Errors()], paths={"/ragapi.v1.HealthService/Ping": "unary"})
    with capture_logs() as logs:
        await caller.unary("/ragapi.v1.HealthService/Ping")(StringValue())
        await caller.chain.idle()
    assert [each["log_level"] for each in logs] == ["debug"]

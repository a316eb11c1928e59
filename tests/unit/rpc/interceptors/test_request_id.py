"""Every call has a name, the caller's own where it is a harmless one."""

from typing import Any

import grpc
import pytest
import structlog
from google.protobuf.wrappers_pb2 import StringValue

from rag_grpc.core.errors import NotReady
from rag_grpc.rpc.interceptors.errors import Errors
from rag_grpc.rpc.interceptors.request_id import REQUEST_ID, RequestId
from tests.unit.rpc.interceptors.echo_server import Echo, Serve


async def trailing_id(call: Any) -> str:
    value: str = dict(await call.trailing_metadata())[REQUEST_ID]
    return value


async def test_the_callers_id_comes_back(serve: Serve) -> None:
    caller = await serve([RequestId()])
    call = caller.unary()(StringValue(), metadata=((REQUEST_ID, "job-7/attempt:2"),))
    await call
    assert await trailing_id(call) == "job-7/attempt:2"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "<script>", '"'])
async def test_an_id_that_could_do_harm_is_replaced(serve: Serve, sent: Any) -> None:
    caller = await serve([RequestId()])
    call = caller.unary()(StringValue(), metadata=((REQUEST_ID, sent),))
    await call
    assert await trailing_id(call) != sent
    assert len(await trailing_id(call)) == 24


async def test_ids_that_are_made_differ(serve: Serve) -> None:
    caller = await serve([RequestId()])
    calls = [caller.unary()(StringValue()) for _ in range(20)]
    for call in calls:
        await call
    assert len({await trailing_id(call) for call in calls}) == 20


async def test_a_failed_call_carries_it_too(serve: Serve, echo: Echo) -> None:
    async def unary(request: Any, context: Any) -> Any:
        raise NotReady("later")

    echo.unary = unary
    caller = await serve([RequestId(), Errors()], echo)
    call = caller.unary()(StringValue(), metadata=((REQUEST_ID, "mine"),))
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    assert await trailing_id(call) == "mine"


async def test_the_log_of_a_call_carries_it_and_that_of_others_does_not(serve: Serve, echo: Echo) -> None:
    async def unary(request: Any, context: Any) -> Any:
        return StringValue(value=structlog.contextvars.get_contextvars()["request_id"])

    echo.unary = unary
    caller = await serve([RequestId()], echo)
    one = caller.unary()(StringValue(), metadata=((REQUEST_ID, "one"),))
    two = caller.unary()(StringValue(), metadata=((REQUEST_ID, "two"),))
    assert [(await one).value, (await two).value] == ["one", "two"]
    assert "request_id" not in structlog.contextvars.get_contextvars()

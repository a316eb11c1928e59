"""What nobody waits for is not begun."""

from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from rag_grpc.core.errors import DeadlineExceeded
from rag_grpc.rpc.interceptors.call import Call, Method, Work
from rag_grpc.rpc.interceptors.deadline import Deadline
from tests.unit.rpc.interceptors.echo_server import Serve

METHOD = Method("/test.Echo/Unary", "test.Echo", "Unary", "UNARY", Work.READ)


class Clock:
    """A context that knows the time alone: no caller can be made to be late to the millisecond."""

    def __init__(self, remaining: float | None) -> None:
        self.remaining = remaining

    def time_remaining(self) -> float | None:
        return self.remaining


async def proceed(call: Call) -> bytes:
    return b"begun"


def call(remaining: float | None) -> Call:
    context: Any = Clock(remaining)
    return Call(METHOD, b"", context)


async def test_a_call_that_came_too_late_is_not_begun() -> None:
    with pytest.raises(DeadlineExceeded):
        await Deadline().around(call(0.0), proceed)


@pytest.mark.parametrize("remaining", [None, 0.001, 1e9])
async def test_any_other_call_is(remaining: float | None) -> None:
    assert await Deadline().around(call(remaining), proceed) == b"begun"


@pytest.mark.parametrize("seconds", [None, 60])
async def test_grpc_says_so_in_the_same_way(serve: Serve, seconds: float | None) -> None:
    caller = await serve([Deadline()])
    assert await caller.unary()(StringValue(), timeout=seconds).code() is grpc.StatusCode.OK

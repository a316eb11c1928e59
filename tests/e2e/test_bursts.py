"""Many calls at the same moment: each is answered, and none is dropped without a word."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import grpc

from rag_grpc.app import RunningServer
from ragapi.v1 import health_service_pb2 as health
from ragapi.v1.health_service_pb2_grpc import HealthServiceStub

CALLS = 4000
"""Well above the 3,000 that are not begun yet, from which on gRPC by default drops every further one."""


async def test_a_burst_is_answered(server: RunningServer, channel: grpc.aio.Channel) -> None:
    stub: Any = HealthServiceStub(channel)

    async def code() -> grpc.StatusCode:
        try:
            await stub.Ping(health.PingRequest())
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    codes = Counter(await asyncio.gather(*(code() for _ in range(CALLS))))
    assert codes == {grpc.StatusCode.OK: CALLS}

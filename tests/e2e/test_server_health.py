"""Health tells the truth, by Check, Watch, List, the sidecar and the command."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rag_grpc.app import RunningServer, listening_server
from rag_grpc.cli import main
from rag_grpc.core.store_state import StoreStatus
from rag_grpc.settings import Settings
from ragapi.v1 import health_service_pb2, health_service_pb2_grpc, retrieval_service_pb2_grpc
from ragapi.v1.retrieval_service_pb2 import CountDocumentsRequest
from tests.e2e.http import get
from tests.e2e.slow_store import SlowStore

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
READING = (
    "",
    "ragapi.v1.RetrievalService",
    "ragapi.v1.GenerationService",
    "ragapi.v1.EvaluationService",
)
WRITING = ("ragapi.v1.IngestionService", "ragapi.v1.CollectionService")
PING = "ragapi.v1.HealthService"


@pytest.fixture
def slow() -> SlowStore:
    return SlowStore()


@pytest.fixture
async def loading(settings: Settings, slow: SlowStore) -> AsyncIterator[RunningServer]:
    """A server that listens and has begun to load."""
    async with listening_server(settings, store=slow) as server:
        slow.loading = asyncio.create_task(server.load())
        yield server
        await serve_on(slow)


@pytest.fixture
def store_name() -> str:
    """These tests bring their own store."""
    return "memory"


@pytest.fixture
async def health(loading: RunningServer) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(loading.grpc_address) as channel:
        yield health_pb2_grpc.HealthStub(channel)


async def listed(health: Any) -> dict[str, int]:
    answer = await health.List(health_pb2.HealthListRequest())
    return {name: response.status for name, response in answer.statuses.items()}


def expected(reading: int, writing: int, ping: int) -> dict[str, int]:
    return dict.fromkeys(READING, reading) | dict.fromkeys(WRITING, writing) | {PING: ping}


async def serve_on(slow: SlowStore) -> None:
    """Let the server finish loading."""
    slow.loaded.set()
    assert slow.loading is not None
    await slow.loading


async def test_each_state_as_it_is(loading: RunningServer, slow: SlowStore, health: Any) -> None:
    assert await listed(health) == expected(NOT_SERVING, NOT_SERVING, SERVING)
    await serve_on(slow)
    assert await listed(health) == expected(SERVING, SERVING, SERVING)
    slow.turn(StoreStatus(can_read=True, can_write=False, write_reason="the disk is full"))
    assert await listed(health) == expected(SERVING, NOT_SERVING, SERVING)
    slow.turn(StoreStatus(can_read=True, can_write=True))
    assert await listed(health) == expected(SERVING, SERVING, SERVING)
    loading.health.begin_draining()
    assert await listed(health) == expected(NOT_SERVING, NOT_SERVING, NOT_SERVING)


async def test_check_agrees_with_list(loading: RunningServer, slow: SlowStore, health: Any) -> None:
    await serve_on(slow)
    slow.turn(StoreStatus(can_read=True, can_write=False))
    for name, status in (await listed(health)).items():
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == status


async def test_a_service_that_is_not_there(health: Any) -> None:
    request = health_pb2.HealthCheckRequest(service="ragapi.v9.Nothing")
    assert await health.Check(request).code() is grpc.StatusCode.NOT_FOUND
    watch = health.Watch(request)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


async def test_watch_tells_each_change_at_once(loading: RunningServer, slow: SlowStore, health: Any) -> None:
    watch = health.Watch(health_pb2.HealthCheckRequest(service=WRITING[0]))
    assert (await watch.read()).status == NOT_SERVING
    await serve_on(slow)
    assert (await watch.read()).status == SERVING
    for can_write in (False, True, False):
        began = time.perf_counter()
        slow.turn(StoreStatus(can_read=True, can_write=can_write))
        assert (await watch.read()).status == (SERVING if can_write else NOT_SERVING)
        assert time.perf_counter() - began < 0.1
    watch.cancel()


async def test_a_change_that_does_not_concern_a_service_is_not_told(
    loading: RunningServer, slow: SlowStore, health: Any
) -> None:
    await serve_on(slow)
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    slow.turn(StoreStatus(can_read=True, can_write=False))
    await listed(health)
    loading.health.begin_draining()
    assert (await watch.read()).status == NOT_SERVING
    loading.health.end_watches()
    assert await watch.read() is grpc.aio.EOF  # type: ignore[attr-defined] # the type stubs lack it
    assert await watch.code() is grpc.StatusCode.OK


async def test_while_it_loads_calls_are_not_ready_but_ping_is(loading: RunningServer) -> None:
    async with grpc.aio.insecure_channel(loading.grpc_address) as channel:
        call = retrieval_service_pb2_grpc.RetrievalServiceStub(channel).CountDocuments(
            CountDocumentsRequest()
        )
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert await call.details() == "the server is loading its data"
        stub: Any = health_service_pb2_grpc.HealthServiceStub(channel)
        assert (await stub.Ping(health_service_pb2.PingRequest())).message == "pong"


async def test_the_sidecar_says_the_same(loading: RunningServer, slow: SlowStore) -> None:
    assert (await get(loading, "/readyz")).status == 503
    assert "loading" in (await get(loading, "/readyz")).text
    assert (await get(loading, "/healthz")).status == 200
    await serve_on(slow)
    assert (await get(loading, "/readyz")).status == 200
    loading.health.begin_draining()
    assert ((await get(loading, "/readyz")).status, (await get(loading, "/healthz")).status) == (503, 200)


async def test_the_command_exits_by_what_it_hears(
    loading: RunningServer, slow: SlowStore, capsys: pytest.CaptureFixture[str]
) -> None:
    async def ask(*arguments: str) -> int:
        command = ["health", "--address", loading.grpc_address, "--timeout", "5", *arguments]
        return await asyncio.to_thread(main, command)

    assert await ask() == 1
    await serve_on(slow)
    assert await ask() == 0
    slow.turn(StoreStatus(can_read=True, can_write=False))
    assert (await ask(), await ask("--service", WRITING[0])) == (0, 1)
    assert await ask("--service", "nothing") == 2
    assert await asyncio.to_thread(main, ["health", "--address", "127.0.0.1:1", "--timeout", "5"]) == 2
    said = capsys.readouterr()
    answers = [line for line in said.out.splitlines() if line.endswith("SERVING")]
    assert answers == ["NOT_SERVING", "SERVING", "SERVING", "NOT_SERVING"]
    assert "127.0.0.1:1 does not answer" in said.err

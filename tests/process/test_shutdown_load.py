"""Twenty stops in the middle of everything, over one folder: what was answered stays, and nobody is cut off.

Every call that is under way is answered, or told to come back: NOT_READY. A Watch ends with OK, after
NOT_SERVING. A call that finds nobody listening was never under way.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ragapi.v1 import collection_service_pb2 as collections
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.collection_service_pb2_grpc import CollectionServiceStub
from ragapi.v1.ingestion_service_pb2_grpc import IngestionServiceStub
from ragapi.v1.retrieval_service_pb2_grpc import RetrievalServiceStub
from tests.process.child import Child
from tests.process.inspection import Inspection
from tests.process.ledger import Ledger
from tests.process.writers import MESSAGES_IN_FLIGHT, STORED, call_on, sweep_on
from tests.rounds import rounds

STOPS = rounds(20)
GRACE = 10.0
LOOPS = ("uvloop", "asyncio")
MIXED, SWEPT = "mixed", "swept"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Load:
    """Those who use a server, whichever it is at the moment, and what they know of it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.mixed = [Ledger(name, 12, random.Random(self.random.random())) for name in ("s", "t", "c", "d")]
        self.swept = [Ledger("w", 30, random.Random(self.random.random()))]
        self.queried = asyncio.Event()

    async def check(self, channel: grpc.aio.Channel) -> None:
        """Compare everything with what the writers know."""
        for name in (MIXED, SWEPT):
            wanted = collections.Collection(name=name, chunking=collections.Chunking(without_context=True))
            await CollectionServiceStub(channel).CreateCollection(
                collections.CreateCollectionRequest(collection=wanted)
            )
        await Inspection(channel, MIXED, self.random).settle(self.mixed)
        await Inspection(channel, SWEPT, self.random).settle(self.swept)

    async def stop(self, child: Child) -> float:
        """Stop a server a moment after all are at work; give the seconds that took."""
        async with (
            grpc.aio.insecure_channel(child.grpc_address) as one,
            grpc.aio.insecure_channel(child.grpc_address) as another,
        ):
            await self.check(one)
            self.queried.clear()
            async with asyncio.TaskGroup() as tasks:
                for ledger in self.mixed[:2]:
                    tasks.create_task(asyncio.to_thread(stream_until_refused, child.grpc_address, ledger))
                for channel, ledger in zip((one, another), self.mixed[2:], strict=True):
                    tasks.create_task(until_refused(call_on(channel, MIXED, ledger)))
                tasks.create_task(until_refused(sweep_on(one, SWEPT, self.swept[0])))
                begun = [self.queried]
                for channel in (one, one, another, another):
                    tasks.create_task(until_refused(self._query_on(channel)))
                    begun.append(asyncio.Event())
                    tasks.create_task(watch_to_the_end(channel, begun[-1]))
                await asyncio.wait_for(asyncio.gather(*(each.wait() for each in begun)), GRACE)
                # Somewhere in the midst of what they do.
                await asyncio.sleep(self.random.uniform(0.0, 0.2))
                return await asyncio.to_thread(child.stop)

    @property
    def answers(self) -> int:
        """Writes that were answered with success."""
        return sum(ledger.answers for ledger in (*self.mixed, *self.swept))

    async def _query_on(self, channel: grpc.aio.Channel) -> None:
        stub = RetrievalServiceStub(channel)
        while True:
            text = " ".join(self.random.choices(("amber", "delta", "fjord", "quay"), k=2))
            await stub.Query(retrieval.QueryRequest(collection=MIXED, query=text))
            self.queried.set()


def stream_until_refused(address: str, ledger: Ledger) -> None:
    """Put documents on a stream until the server says that it stops.

    In a thread: grpc.aio hides how a call ended behind INTERNAL, where a message could not be written any
    more.
    """
    room, sent, over = threading.Semaphore(MESSAGES_IN_FLIGHT), deque[str](), threading.Event()

    def messages() -> Iterator[Any]:
        while room.acquire() and not over.is_set():
            doc_id, version = ledger.any_id(), ledger.fresh()
            ledger.send(doc_id, version)
            sent.append(doc_id)
            item = ingestion.IngestItem(document=version.message(doc_id))
            yield ingestion.StreamIngestDocumentsRequest(collection=MIXED, items=[item])

    with grpc.insecure_channel(address) as channel:
        call = IngestionServiceStub(channel).StreamIngestDocuments(messages())
        try:
            for response in call:
                (result,) = response.results
                assert result.status in STORED, result
                ledger.answer(sent.popleft(), result.revision)
                room.release()
        except grpc.RpcError as error:
            check_refused(error)
        else:
            raise AssertionError("the stream ended as if the caller had ended it")
        finally:
            over.set()
            room.release()


async def until_refused(work: Awaitable[None]) -> None:
    """Await one who goes on until the server says that it stops; any other end is a failure."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await work
    check_refused(caught.value)


def check_refused(error: Any) -> None:
    """Assert that a call was refused as it should be, or never reached anyone."""
    assert error.code() is grpc.StatusCode.UNAVAILABLE, error
    assert reason_of(error) == "NOT_READY" or "failed to connect" in (error.details() or ""), error


def reason_of(error: Any) -> str:
    """Give the reason that an error names; "" where it is not the server's."""
    trailing = error.trailing_metadata()
    info = error_details_pb2.ErrorInfo()
    status = status_pb2.Status.FromString(dict(trailing or ()).get("grpc-status-details-bin", b""))
    for detail in status.details:
        detail.Unpack(info)
    reason: str = info.reason
    return reason


async def watch_to_the_end(channel: grpc.aio.Channel, begun: asyncio.Event) -> None:
    """Watch a server's health; the server itself must end it. `begun` is set with the first that is seen."""
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    seen = []
    async for each in watch:
        seen.append(each.status)
        begun.set()
    assert seen == [SERVING, NOT_SERVING]
    assert await watch.code() is grpc.StatusCode.OK


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_stops_under_load_lose_nothing_and_cut_nobody_off(start: Callable[..., Child]) -> None:
    load = Load(seed=4)
    for stop in range(STOPS):
        child = start(grace=f"{GRACE:g}s", graph_from="64", event_loop=LOOPS[stop % 2])
        await asyncio.to_thread(child.ready)
        assert await load.stop(child) < GRACE
    last = start(graph_from="64").ready()
    async with grpc.aio.insecure_channel(last.grpc_address) as channel:
        await load.check(channel)
    last.stop()
    assert load.answers > 20 * STOPS, "hardly anything was written"

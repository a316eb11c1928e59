"""One stream of documents: order, back-pressure, faults, drain, cancel; each step is in the test's hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest

from rag_grpc.core.budget import ByteBudget
from rag_grpc.core.errors import (
    CollectionNotFound,
    FieldViolation,
    InvalidField,
    LimitExceeded,
    NotReady,
    RagError,
    StorageFull,
)
from rag_grpc.core.ingestion import IngestItem
from rag_grpc.core.limits import Limits
from rag_grpc.core.loop_steps import LoopSteps
from rag_grpc.core.models import IngestStatus, PutOutcome
from rag_grpc.core.precedence import Precedence
from rag_grpc.rpc.drain import Drain
from rag_grpc.rpc.ingest_stream import IngestStream
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import errors_pb2
from ragapi.v1 import ingestion_service_pb2 as pb
from ragapi.v1.types_pb2 import Document

STORED = PutOutcome(IngestStatus.CREATED, 1, 1)
EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined] # the type stubs lack it


class Wire:
    """Stands where gRPC's context does: what the caller sends and takes, when the test says so."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        self.taken: asyncio.Queue[pb.StreamIngestDocumentsResponse] = asyncio.Queue()
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.reads = 0

    async def read(self) -> Any:
        message = await self.sent.get()
        self.reads += 1
        if isinstance(message, Exception):
            raise message
        return message

    async def write(self, response: pb.StreamIngestDocumentsResponse) -> None:
        await self.may_write.wait()
        self.taken.put_nowait(response)


class Desk:
    """Stands where Ingestion does: begins writes at once, ends them when the test says so."""

    def __init__(self, *, automatic: bool = True) -> None:
        self.begun: list[str] = []
        self.withdrawn: list[str] = []
        self.futures: list[asyncio.Future[list[PutOutcome | RagError]]] = []
        self.automatic = automatic
        self.steps = LoopSteps(Precedence())

    def ingest(
        self, collection: str, items: Sequence[IngestItem | RagError]
    ) -> Awaitable[list[PutOutcome | RagError]]:
        if collection == "nowhere":
            raise CollectionNotFound(collection)
        names = [each.document.doc_id for each in items if isinstance(each, IngestItem)]
        self.begun += names
        future: asyncio.Future[list[PutOutcome | RagError]] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: self.withdrawn.extend(names) if done.cancelled() else None)
        self.futures.append(future)
        if self.automatic:
            future.set_result([each if isinstance(each, RagError) else STORED for each in items])
        return future


class Bench:
    """A stream with all around it."""

    def __init__(
        self, *, automatic: bool = True, capacity: int = 1_000_000, limits: Limits | None = None
    ) -> None:
        self.wire = Wire()
        self.desk = Desk(automatic=automatic)
        self.budget = ByteBudget(capacity)
        self.drain = Drain()
        limits = limits or Limits(max_stream_window=3)
        self.stream = IngestStream(
            self.wire,  # type: ignore[arg-type] # it has the two methods that a stream uses
            ingestion=self.desk,  # type: ignore[arg-type] # likewise
            budget=self.budget,
            drain=self.drain,
            validator=Validator(limits),
            limits=limits,
        )

    def send(self, *sequences: int, collection: str = "") -> None:
        for sequence in sequences:
            items = [pb.IngestItem(document=Document(doc_id=f"d{sequence}", text="t"))]
            self.wire.sent.put_nowait(
                pb.StreamIngestDocumentsRequest(collection=collection, items=items, sequence=sequence)
            )

    def half_close(self) -> None:
        self.wire.sent.put_nowait(EOF)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.stream.run())
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
            assert self.budget.in_use == 0
            assert asyncio.all_tasks() == {asyncio.current_task()}

    async def answers(self, count: int) -> list[int]:
        return [(await self.wire.taken.get()).sequence for _ in range(count)]


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_each_message_is_answered_in_order_and_the_stream_ends() -> None:
    bench = Bench()
    bench.send(5, 6, 7, 8, 9)
    bench.half_close()
    async with bench.running() as task:
        await task
        assert await bench.answers(5) == [5, 6, 7, 8, 9]
        assert bench.desk.begun == ["d5", "d6", "d7", "d8", "d9"]


async def test_answers_keep_the_order_of_the_messages() -> None:
    bench = Bench(automatic=False)
    bench.send(1, 2)
    async with bench.running():
        await settle()
        bench.desk.futures[1].set_result([STORED])
        await settle()
        assert bench.wire.taken.empty()
        bench.desk.futures[0].set_result([STORED])
        assert await bench.answers(2) == [1, 2]


async def test_no_more_messages_are_read_than_the_window_holds() -> None:
    bench = Bench(automatic=False)
    bench.send(1, 2, 3, 4, 5)
    async with bench.running():
        await settle()
        assert bench.wire.reads == 3
        bench.desk.futures[0].set_result([STORED])
        assert await bench.answers(1) == [1]
        await settle()
        assert bench.wire.reads == 4


async def test_the_next_message_is_read_when_the_budget_has_room_for_this_one() -> None:
    bench = Bench(automatic=False, capacity=20)
    bench.send(1, 2, 3)
    async with bench.running():
        await settle()
        assert bench.desk.begun == ["d1"]
        assert bench.wire.reads == 2
        bench.desk.futures[0].set_result([STORED])
        await settle()
        assert bench.desk.begun == ["d1", "d2"]


async def test_a_caller_who_takes_no_answers_holds_no_budget() -> None:
    bench = Bench()
    bench.wire.may_write.clear()
    bench.send(1)
    async with bench.running():
        await settle()
        assert bench.desk.begun == ["d1"]
        assert bench.budget.in_use == 0


async def test_what_is_wrong_with_a_message_fails_its_items_alone() -> None:
    bench = Bench()
    bench.send(1, collection="nowhere")
    bench.send(2, collection="No!")
    bench.wire.sent.put_nowait(pb.StreamIngestDocumentsRequest(items=[pb.IngestItem()], sequence=3))
    bench.send(4)
    bench.half_close()
    async with bench.running() as task:
        await task
        results = [(await bench.wire.taken.get()).results for _ in range(4)]
    assert [each.problem.reason for (each,) in results] == [
        errors_pb2.ERROR_REASON_COLLECTION_NOT_FOUND,
        errors_pb2.ERROR_REASON_INVALID_FIELD,
        errors_pb2.ERROR_REASON_INVALID_FIELD,
        errors_pb2.ERROR_REASON_UNSPECIFIED,
    ]
    assert results[2][0].problem.field_violations[0].field == "document"
    assert results[3][0].status == pb.INGEST_STATUS_CREATED


async def test_a_write_that_is_refused_whole_fails_its_items() -> None:
    bench = Bench(automatic=False)
    bench.send(1)
    bench.half_close()
    async with bench.running() as task:
        await settle()
        bench.desk.futures[0].set_exception(StorageFull("no room"))
        await task
        (result,) = (await bench.wire.taken.get()).results
        assert result.problem.reason == errors_pb2.ERROR_REASON_STORAGE_FULL


async def test_a_message_of_too_many_items_fails_them() -> None:
    bench = Bench(limits=Limits(max_batch_documents=2))
    items = [pb.IngestItem(document=Document(doc_id="d", text="t"))] * 3
    bench.wire.sent.put_nowait(pb.StreamIngestDocumentsRequest(items=items))
    bench.half_close()
    async with bench.running() as task:
        await task
        results = (await bench.wire.taken.get()).results
        assert [each.problem.reason for each in results] == [errors_pb2.ERROR_REASON_LIMIT_EXCEEDED] * 3


async def test_an_answer_that_would_be_too_large_ends_the_stream() -> None:
    bench = Bench(limits=Limits(max_batch_documents=2, max_response_bytes=1000))
    bench.wire.sent.put_nowait(pb.StreamIngestDocumentsRequest(items=[pb.IngestItem()] * 50))
    async with bench.running() as task:
        with pytest.raises(LimitExceeded, match="fewer items"):
            await task


async def test_a_message_that_cannot_be_decoded_ends_the_stream_after_the_others_are_answered() -> None:
    bench = Bench(automatic=False)
    bench.send(1)
    bench.wire.sent.put_nowait(InvalidField.of([FieldViolation("request", "is no request")]))
    async with bench.running() as task:
        await settle()
        assert not task.done()
        bench.desk.futures[0].set_result([STORED])
        assert await bench.answers(1) == [1]
        with pytest.raises(InvalidField):
            await task


async def test_a_drain_answers_what_was_read_and_ends_with_not_ready() -> None:
    bench = Bench(automatic=False)
    bench.send(1, 2)
    async with bench.running() as task:
        await settle()
        bench.drain.begin()
        await settle()
        bench.send(3)
        await settle()
        assert bench.desk.begun == ["d1", "d2"]
        for future in bench.desk.futures:
            future.set_result([STORED])
        assert await bench.answers(2) == [1, 2]
        with pytest.raises(NotReady):
            await task


async def test_a_drain_stores_a_message_that_was_read_but_waits_for_the_budget() -> None:
    bench = Bench(automatic=False, capacity=20)
    bench.send(1, 2)
    async with bench.running() as task:
        await settle()
        bench.drain.begin()
        await settle()
        bench.desk.futures[0].set_result([STORED])
        await settle()
        bench.desk.futures[1].set_result([STORED])
        assert await bench.answers(2) == [1, 2]
        with pytest.raises(NotReady):
            await task


async def test_a_drain_ends_a_stream_that_waits_for_its_caller() -> None:
    bench = Bench()
    async with bench.running() as task:
        await settle()
        bench.drain.begin()
        with pytest.raises(NotReady):
            await task


async def test_a_caller_who_is_done_is_not_told_of_a_drain() -> None:
    bench = Bench(automatic=False)
    bench.send(1)
    bench.half_close()
    async with bench.running() as task:
        await settle()
        bench.drain.begin()
        bench.desk.futures[0].set_result([STORED])
        await task
        assert await bench.answers(1) == [1]


async def test_a_cancelled_call_withdraws_its_writes() -> None:
    bench = Bench(automatic=False)
    bench.send(1, 2)
    async with bench.running() as task:
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.desk.withdrawn == ["d1", "d2"]


async def test_a_call_cancelled_while_it_waits_for_the_budget_holds_none() -> None:
    bench = Bench(automatic=False, capacity=20)
    bench.send(1, 2)
    async with bench.running() as task:
        await settle()
        assert bench.budget.waiting == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (bench.budget.in_use, bench.budget.waiting) == (0, 0)


async def test_a_fault_of_the_server_ends_the_stream_as_itself() -> None:
    bench = Bench(automatic=False)
    bench.send(1, 2)
    async with bench.running() as task:
        await settle()
        bench.desk.futures[0].set_exception(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            await task
        assert bench.desk.withdrawn == ["d2"]


async def test_a_caller_who_left_ends_the_stream() -> None:
    bench = Bench(automatic=False)

    async def gone(response: pb.StreamIngestDocumentsResponse) -> None:
        raise grpc.aio.InternalError

    bench.wire.write = gone  # type: ignore[method-assign]
    bench.send(1, 2)
    async with bench.running() as task:
        await settle()
        bench.desk.futures[0].set_result([STORED])
        with pytest.raises(grpc.aio.InternalError):
            await task
        assert bench.desk.withdrawn == ["d2"]

"""One call of StreamIngestDocuments: messages in, one response each, in order.

A single loop owns the call. It waits for whichever comes first: the next message,
the oldest message's outcome, or the drain. So a slow embedder does not keep the
next message from being read, a caller who does not read his responses is not read
from either, and nothing needs a lock.

What is bounded, and by what: messages in flight by `max_stream_window`; bytes by
the ingest budget, which a message takes before the next one is read and gives back
when it is stored, not when its response was taken, so that a caller who stops
reading holds no one else up. Writes are begun in reading order: `Ingestion.ingest`
takes its places in the lanes before it returns.

It is a coroutine that reads and writes through the context. grpc.aio never closes
an async generator, so that its clean-up would run later, in another task.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from rag_grpc.core.budget import ByteBudget
from rag_grpc.core.errors import NotReady, RagError
from rag_grpc.core.ingestion import Ingestion, IngestItem
from rag_grpc.core.limits import Limits
from rag_grpc.core.loop_steps import LoopSteps
from rag_grpc.core.models import PutOutcome
from rag_grpc.rpc.convert_ingestion import add_results, doc_ids_of, items_from_proto
from rag_grpc.rpc.drain import Drain
from rag_grpc.rpc.response_size import too_large
from rag_grpc.rpc.status import problem_of
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import ingestion_service_pb2 as pb

Context: TypeAlias = grpc.aio.ServicerContext[
    pb.StreamIngestDocumentsRequest, pb.StreamIngestDocumentsResponse
]
Outcomes: TypeAlias = list[PutOutcome | RagError]
Items: TypeAlias = list[IngestItem | RagError] | RagError
"""Of a message, each by itself; or what is wrong with all of them."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A message that is worked on, and what its response needs."""

    sequence: int
    doc_ids: list[str]
    outcomes: asyncio.Future[Outcomes]


class NextMessage:
    """Reads one message, takes its bytes from the budget, and then converts its items, in steps."""

    def __init__(self, context: Context, budget: ByteBudget, validator: Validator, steps: LoopSteps) -> None:
        self._context = context
        self._budget = budget
        self._validator = validator
        self._steps = steps
        self.message: pb.StreamIngestDocumentsRequest | None = None
        self.items: Items = []
        self.held = 0
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        message: Any = await self._context.read()
        if not isinstance(message, pb.StreamIngestDocumentsRequest):
            return  # grpc.aio.EOF: the caller has half-closed
        self.message = message
        size = message.ByteSize()
        await self._budget.acquire(size)
        self.held = size
        self.items = self._validator.error_of(message) or await items_from_proto(
            message.items, size, self._validator, self._steps
        )

    def give_back(self) -> None:
        """Return the bytes to the budget, once."""
        if self.held:
            self._budget.release(self.held)
        self.held = 0


class IngestStream:
    """Serves one call; `run` returns when the caller has half-closed and all is answered."""

    def __init__(
        self,
        context: Context,
        *,
        ingestion: Ingestion,
        budget: ByteBudget,
        drain: Drain,
        validator: Validator,
        limits: Limits,
    ) -> None:
        self._context = context
        self._ingestion = ingestion
        self._budget = budget
        self._drain = drain
        self._validator = validator
        self._limits = limits
        self._pending: deque[Pending] = deque()
        self._next: NextMessage | None = None
        self._reading = True
        self._end: RagError | None = None

    async def run(self) -> None:
        """Read, store and answer.

        Raises what ends the stream, after all that was read is answered: NotReady where the server drains,
        InvalidField and LimitExceeded for a message that cannot be decoded, is too large or is unanswerable.
        """
        drained = asyncio.ensure_future(self._drain.wait())
        try:
            await self._serve(drained)
        finally:
            await self._abandon(drained)
        if self._end is not None:
            raise self._end

    async def _serve(self, drained: asyncio.Future[None]) -> None:
        while True:
            if self._reading and self._next is None and len(self._pending) < self._limits.max_stream_window:
                self._next = NextMessage(self._context, self._budget, self._validator, self._ingestion.steps)
            awaited: set[asyncio.Future[Any]] = set()
            if self._next is not None:
                awaited.add(self._next.task)
            if self._pending:
                awaited.add(self._pending[0].outcomes)
            if not awaited:
                return
            if self._reading:
                awaited.add(drained)
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if drained.done() and self._reading:
                await self._stop_reading()
            if self._next is not None and self._next.task.done():
                self._take_in(self._next)
            if self._pending and self._pending[0].outcomes.done():
                await self._answer(self._pending.popleft())

    async def _stop_reading(self) -> None:
        self._reading = False
        self._end = NotReady("the server drains: reconnect and send what was not answered")
        arrived = self._next
        if arrived is not None and arrived.message is None and not arrived.task.done():
            arrived.task.cancel()
            await asyncio.wait({arrived.task})

    def _take_in(self, arrived: NextMessage) -> None:
        if arrived.task.cancelled():
            self._next = None
            return
        fault, message = arrived.task.exception(), arrived.message
        if fault is not None and not isinstance(fault, RagError):
            raise fault
        if message is not None and fault is None:
            fault = self._unanswerable(message, arrived.items)
        if fault is not None or message is None:
            self._end = fault
            self._reading = False
            self._next = None
            arrived.give_back()
            return
        outcomes = asyncio.ensure_future(self._begin(message, arrived.items))
        outcomes.add_done_callback(lambda _: arrived.give_back())
        self._next = None
        self._pending.append(Pending(message.sequence, doc_ids_of(message.items), outcomes))

    def _unanswerable(self, message: pb.StreamIngestDocumentsRequest, items: Items) -> RagError | None:
        """Find a message whose items all fail, and are too many to be told so: it may hold millions."""
        count, limit = len(message.items), self._limits.max_response_bytes
        if count <= self._limits.max_batch_documents:
            return None
        size = count * problem_of(items).ByteSize() if isinstance(items, RagError) else 0
        return too_large(size, limit, "send fewer items a message") if size > limit else None

    def _begin(self, message: pb.StreamIngestDocumentsRequest, items: Items) -> Awaitable[Outcomes]:
        """Begin a message's writes, now: whatever is wrong with it fails its items, and not the stream."""
        if not isinstance(items, RagError):
            try:
                return self._ingestion.ingest(message.collection, items)
            except RagError as refused:
                items = refused
        failed: asyncio.Future[Outcomes] = asyncio.get_running_loop().create_future()
        failed.set_result([items] * len(message.items))
        return failed

    async def _answer(self, pending: Pending) -> None:
        refused = pending.outcomes.exception()
        if refused is not None and not isinstance(refused, RagError):
            raise refused
        outcomes = pending.outcomes.result() if refused is None else [refused] * len(pending.doc_ids)
        response = pb.StreamIngestDocumentsResponse(sequence=pending.sequence)
        add_results(response.results, pending.doc_ids, outcomes)
        # Only a message of many more items than are allowed comes to this.
        limit = self._limits.max_response_bytes
        if len(outcomes) > self._limits.max_batch_documents and response.ByteSize() > limit:
            raise too_large(response.ByteSize(), limit, "send fewer items a message")
        await self._context.write(response)

    async def _abandon(self, drained: asyncio.Future[None]) -> None:
        """End what is still going on: writes that wait are withdrawn, no task outlives the call."""
        left: list[asyncio.Future[Any]] = [drained, *(pending.outcomes for pending in self._pending)]
        if self._next is not None:
            left.append(self._next.task)
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if self._next is not None:
            self._next.give_back()

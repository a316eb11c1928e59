"""One call of EvaluateRetrieval: labelled queries in, their scores as they come, and last the report.

A single loop owns the call, as in `rag_grpc.rpc.ingest_stream`: it waits for whichever comes first, the next
message, a query's end, the drain, or the time for a sign of life. The next message is read when the queries
of the one before have all begun, and only some are under way at a time, so what a call keeps in memory is one
message; and a caller who does not read his responses is not read from either.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Any, TypeAlias

import grpc

from rag_grpc.core.errors import FieldViolation, InvalidField, NotReady
from rag_grpc.core.models import DEFAULT_COLLECTION
from rag_grpc.core.retrieval_evaluation import EvaluationRun, QueryScores, RetrievalEvaluation
from rag_grpc.rpc.convert_evaluation import (
    labelled_from_proto,
    report_to_proto,
    scores_to_proto,
    template_from_proto,
)
from rag_grpc.rpc.drain import Drain
from rag_grpc.rpc.interceptors.call import about
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import evaluation_service_pb2 as pb

Context: TypeAlias = grpc.aio.ServicerContext[pb.EvaluateRetrievalRequest, pb.EvaluateRetrievalResponse]

UNDER_WAY = 4
"""Queries of a call that were begun: more than have a turn at once, so that none is left unused."""
PERIOD = 0.5
"""Seconds between two messages of progress."""


class EvaluationStream:
    """Serves one call; `run` returns when the report was written."""

    def __init__(
        self, context: Context, *, evaluation: RetrievalEvaluation, drain: Drain, validator: Validator
    ) -> None:
        self._context = context
        self._evaluation = evaluation
        self._drain = drain
        self._validator = validator
        self._waiting: deque[pb.LabelledQuery] = deque()
        self._running: set[asyncio.Task[QueryScores]] = set()
        self._next: asyncio.Future[Any] | None = None
        self._reading = True
        self._told = monotonic()

    async def run(self) -> None:
        """Read, ask and answer.

        Raises what ends the call: the first error there is, and NotReady where the server drains.
        """
        drained = asyncio.ensure_future(self._drain.wait())
        try:
            first = await self._first(drained)
            run = self._begun(first)
            self._take(run, first)
            while self._busy():
                await self._step(run, drained)
            await self._context.write(report_to_proto(await run.finish()))
            about(queries=run.done)
        finally:
            await self._abandon(drained)

    async def _first(self, drained: asyncio.Future[None]) -> pb.EvaluateRetrievalRequest:
        self._next = asyncio.ensure_future(self._context.read())
        await asyncio.wait({self._next, drained}, return_when=asyncio.FIRST_COMPLETED)
        if drained.done():
            raise _draining()
        first, self._next = self._next.result(), None
        if not isinstance(first, pb.EvaluateRetrievalRequest) or not first.HasField("template"):
            raise InvalidField.of([FieldViolation("template", "is required in the first message")])
        self._validator.check(first)
        return first

    def _begun(self, first: pb.EvaluateRetrievalRequest) -> EvaluationRun:
        about(collection=first.template.collection or DEFAULT_COLLECTION)
        return self._evaluation.begin(template_from_proto(first.template), first.cutoffs)

    def _busy(self) -> bool:
        return bool(self._reading or self._waiting or self._running)

    async def _step(self, run: EvaluationRun, drained: asyncio.Future[None]) -> None:
        """Begin what may begin, and deal with what comes first."""
        while self._waiting and len(self._running) < UNDER_WAY:
            # Converted one by one: a message's labels, all at once, would hold up the event loop.
            labelled = labelled_from_proto(self._waiting.popleft())
            self._running.add(asyncio.ensure_future(run.answer(labelled)))
        if self._reading and self._next is None and not self._waiting:
            self._next = asyncio.ensure_future(self._context.read())
        awaited: set[asyncio.Future[Any]] = {drained, *self._running}
        if self._next is not None:
            awaited.add(self._next)
        patience = max(0.0, self._told + PERIOD - monotonic())
        await asyncio.wait(awaited, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if drained.done():
            raise _draining()
        await self._tell(run)
        if self._next is not None and self._next.done():
            message, self._next = self._next.result(), None
            self._take_further(run, message)

    async def _tell(self, run: EvaluationRun) -> None:
        """Write the scores that are there, and progress where it is time."""
        for task in [task for task in self._running if task.done()]:
            # One at a time: where several failed, the others are still to be ended with the call.
            self._running.discard(task)
            await self._context.write(scores_to_proto(task.result()))
        if monotonic() - self._told >= PERIOD:
            progress = pb.EvaluationProgress(done=run.done, received=run.received)
            await self._context.write(pb.EvaluateRetrievalResponse(progress=progress))
            self._told = monotonic()

    def _take_further(self, run: EvaluationRun, message: Any) -> None:
        if not isinstance(message, pb.EvaluateRetrievalRequest):
            self._reading = False  # grpc.aio.EOF: the caller has half-closed
            return
        self._validator.check(message)
        wrong = [
            FieldViolation(name, "is for the first message alone")
            for name, there in (("template", message.HasField("template")), ("cutoffs", message.cutoffs))
            if there
        ]
        if wrong:
            raise InvalidField.of(wrong)
        self._take(run, message)

    def _take(self, run: EvaluationRun, message: pb.EvaluateRetrievalRequest) -> None:
        for place, query in enumerate(message.queries):
            if not run.admit(query.query_id):
                field = f"queries[{place}].query_id"
                raise InvalidField.of(
                    [FieldViolation(field, f"is {query.query_id!r}, which this run had already")]
                )
            self._waiting.append(query)

    async def _abandon(self, drained: asyncio.Future[None]) -> None:
        """End what is still going on: no query outlives the call."""
        left: list[asyncio.Future[Any]] = [drained, *self._running]
        if self._next is not None:
            left.append(self._next)
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _draining() -> NotReady:
    return NotReady("the server drains: run the evaluation again")

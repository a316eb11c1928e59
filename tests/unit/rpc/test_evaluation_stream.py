"""One run of labelled queries: order, back-pressure, faults, drain, cancel, all in the hand of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from rag_grpc.core.errors import CollectionNotFound, InvalidField, ModelUnavailable, NotReady, RagError
from rag_grpc.core.limits import Limits
from rag_grpc.core.measures import CutoffScores
from rag_grpc.core.queries import Query
from rag_grpc.core.retrieval_evaluation import LabelledQuery, QueryScores, RetrievalReport
from rag_grpc.rpc import evaluation_stream
from rag_grpc.rpc.drain import Drain
from rag_grpc.rpc.evaluation_stream import UNDER_WAY, EvaluationStream
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import evaluation_service_pb2 as pb
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb

EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined] # the type stubs lack it
TEMPLATE = pb.EvaluateRetrievalRequest(template=retrieval_pb.QueryRequest(collection="c"), cutoffs=[5, 10])


class Wire:
    """Stands where gRPC's context does: what the caller sends and takes, when the test says so."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        self.taken: asyncio.Queue[pb.EvaluateRetrievalResponse] = asyncio.Queue()
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.reads = 0

    async def read(self) -> Any:
        message = await self.sent.get()
        self.reads += 1
        return message

    async def write(self, response: pb.EvaluateRetrievalResponse) -> None:
        await self.may_write.wait()
        self.taken.put_nowait(response)


class Run:
    """Stands where an EvaluationRun does: queries end when the test says so."""

    def __init__(self, *, automatic: bool) -> None:
        self.automatic = automatic
        self.begun: dict[str, asyncio.Future[QueryScores]] = {}
        self.withdrawn: list[str] = []
        self.known: set[str] = set()
        self.done = 0
        self.finished = False

    @property
    def received(self) -> int:
        return len(self.known)

    def admit(self, query_id: str) -> bool:
        new = query_id not in self.known
        self.known.add(query_id)
        return new

    async def answer(self, query: LabelledQuery) -> QueryScores:
        future: asyncio.Future[QueryScores] = asyncio.get_running_loop().create_future()
        self.begun[query.query_id] = future
        if self.automatic:
            self.end(query.query_id)
        try:
            return await future
        except asyncio.CancelledError:
            self.withdrawn.append(query.query_id)
            raise

    def end(self, query_id: str, error: RagError | None = None) -> None:
        if error is not None:
            self.begun[query_id].set_exception(error)
            return
        self.done += 1
        self.begun[query_id].set_result(QueryScores(query_id, 0.5, 0.25, ("d1", "d2"), 0.25))

    async def finish(self) -> RetrievalReport:
        self.finished = True
        return RetrievalReport(self.done, (CutoffScores(5, 0.1, 0.2, 0.3, 0.4, 0.5),), 0.6, 0.0015, 2.5)


class Bench:
    """A stream with all around it."""

    def __init__(self, *, automatic: bool = True) -> None:
        self.wire = Wire()
        self.run = Run(automatic=automatic)
        self.drain = Drain()
        self.began: list[tuple[Query, Sequence[int]]] = []
        stream = EvaluationStream(
            self.wire,  # type: ignore[arg-type] # what it asks of a context
            evaluation=self,  # type: ignore[arg-type] # likewise
            drain=self.drain,
            validator=Validator(Limits()),
        )
        self.task = asyncio.ensure_future(stream.run())

    def begin(self, template: Query, cutoffs: Sequence[int]) -> Run:
        if template.collection == "nowhere":
            raise CollectionNotFound("nowhere")
        self.began.append((template, list(cutoffs)))
        return self.run

    def send(self, *messages: Any) -> None:
        for message in messages:
            self.wire.sent.put_nowait(message)

    async def take(self) -> pb.EvaluateRetrievalResponse:
        return await asyncio.wait_for(self.wire.taken.get(), 10)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - what it waits for is no event of ours
                await asyncio.sleep(0)


@asynccontextmanager
async def bench(*, automatic: bool = True) -> AsyncIterator[Bench]:
    made = Bench(automatic=automatic)
    yield made
    made.task.cancel()
    with suppress(asyncio.CancelledError, RagError):
        await made.task


def queries(*names: str) -> pb.EvaluateRetrievalRequest:
    return pb.EvaluateRetrievalRequest(
        queries=[pb.LabelledQuery(query_id=name, text="why?", relevance={"d1": 1}) for name in names]
    )


async def test_each_query_is_answered_once_and_the_report_is_last() -> None:
    async with bench() as made:
        made.send(TEMPLATE, queries("a", "b"), queries(), queries("c"), EOF)
        taken = [await made.take() for _ in range(4)]
        await made.task
    assert {each.query.query_id for each in taken[:3]} == {"a", "b", "c"}
    assert taken[0].query == pb.QueryScores(
        query_id=taken[0].query.query_id,
        ndcg=0.5,
        recall=0.25,
        doc_ids=["d1", "d2"],
        latency=Duration(nanos=250_000_000),
    )
    report = taken[3].report
    assert (report.query_count, report.mean_average_precision) == (3, 0.6)
    assert report.cutoffs[0] == pb.CutoffScores(
        k=5, recall=0.1, precision=0.2, ndcg=0.3, reciprocal_rank=0.4, hit_rate=0.5
    )
    assert (report.latency_p50.nanos, report.latency_p99.seconds) == (1_500_000, 2)
    template, cutoffs = made.began[0]
    assert (template.collection, template.top_k, cutoffs) == ("c", 0, [5, 10])


async def test_queries_may_come_with_the_template() -> None:
    first = pb.EvaluateRetrievalRequest()
    first.CopyFrom(TEMPLATE)
    first.queries.extend(queries("a").queries)
    async with bench() as made:
        made.send(first, EOF)
        assert (await made.take()).query.query_id == "a"
        assert (await made.take()).report.query_count == 1


async def test_queries_run_side_by_side_and_no_more_than_some() -> None:
    names = [f"q{number}" for number in range(UNDER_WAY + 2)]
    async with bench(automatic=False) as made:
        made.send(TEMPLATE, queries(*names), queries("later"), EOF)
        await made.until(lambda: len(made.run.begun) == UNDER_WAY)
        assert made.wire.reads == 2
        made.run.end(names[3])
        assert (await made.take()).query.query_id == names[3]
        await made.until(lambda: len(made.run.begun) == UNDER_WAY + 1)
        assert "later" not in made.run.known
        made.run.automatic = True
        for name in [*made.run.begun]:
            if not made.run.begun[name].done():
                made.run.end(name)
        await asyncio.wait_for(made.task, 10)
    assert made.run.done == UNDER_WAY + 3


async def test_who_does_not_read_is_not_read_from() -> None:
    async with bench() as made:
        made.wire.may_write.clear()
        made.send(TEMPLATE, *(queries(f"q{number}") for number in range(50)))
        await made.until(lambda: made.wire.reads >= 2)
        for _ in range(100):
            await asyncio.sleep(0)
        assert made.wire.reads < 5
        made.wire.may_write.set()
        await made.until(lambda: made.wire.reads == 51)


async def test_progress_is_told_while_nothing_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_stream, "PERIOD", 0.01)
    async with bench(automatic=False) as made:
        made.send(TEMPLATE, queries("a", "b"))
        await made.until(lambda: made.run.received == 2)
        while True:
            told = await made.take()
            if told.progress.received:
                break
    assert told.progress == pb.EvaluationProgress(done=0, received=2)


async def test_the_first_error_ends_the_run_and_all_that_is_under_way() -> None:
    async with bench(automatic=False) as made:
        made.send(TEMPLATE, queries("a", "b", "c"))
        await made.until(lambda: len(made.run.begun) == 3)
        made.run.end("b", ModelUnavailable("query 'b': it is down"))
        with pytest.raises(ModelUnavailable, match="query 'b'"):
            await made.task
        assert set(made.run.withdrawn) == {"a", "c"}
        assert not made.run.finished


async def test_a_run_that_is_cancelled_stops() -> None:
    async with bench(automatic=False) as made:
        made.send(TEMPLATE, queries("a"))
        await made.until(lambda: "a" in made.run.begun)
        made.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await made.task
        assert made.run.withdrawn == ["a"]


@pytest.mark.parametrize("began", [False, True])
async def test_a_drain_ends_the_run(began: bool) -> None:
    async with bench(automatic=False) as made:
        if began:
            made.send(TEMPLATE, queries("a"))
            await made.until(lambda: "a" in made.run.begun)
        made.drain.begin()
        with pytest.raises(NotReady, match="drains"):
            await made.task


LATE_TEMPLATE = pb.EvaluateRetrievalRequest(template=retrieval_pb.QueryRequest(), cutoffs=[1])
BAD = pb.EvaluateRetrievalRequest(queries=[pb.LabelledQuery(query_id="b")])


@pytest.mark.parametrize(
    ("messages", "fields"),
    [
        ((EOF,), {"template"}),
        ((queries("a"),), {"template"}),
        ((TEMPLATE, LATE_TEMPLATE), {"template", "cutoffs"}),
        ((TEMPLATE, BAD), {"queries[0].text", "queries[0].relevance"}),
        ((TEMPLATE, queries("a", "b", "a")), {"queries[2].query_id"}),
        ((TEMPLATE, queries("a"), queries("b", "a")), {"queries[1].query_id"}),
    ],
)
async def test_what_is_wrong_is_named(messages: tuple[Any, ...], fields: set[str]) -> None:
    async with bench() as made:
        made.send(*messages)
        with pytest.raises(InvalidField) as raised:
            await asyncio.wait_for(made.task, 10)
        assert {each.field for each in raised.value.violations} == fields


async def test_what_cannot_begin_does_not_wait_for_queries() -> None:
    async with bench() as made:
        made.send(pb.EvaluateRetrievalRequest(template=retrieval_pb.QueryRequest(collection="nowhere")))
        with pytest.raises(CollectionNotFound):
            await asyncio.wait_for(made.task, 10)

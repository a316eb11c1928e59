"""The use case of answers: what a generator may do wrong, and what is made of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Self

import pytest

from rag_grpc.analyzers.snowball import SnowballAnalyzer
from rag_grpc.core.answers import Answer, AnswerRequest, Stop, WritingTask, Written
from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import InvalidField, ModelUnavailable, NotConfigured
from rag_grpc.core.generation import Generation
from rag_grpc.core.grounding import Grounding
from rag_grpc.core.judging import Judging
from rag_grpc.core.limits import Limits
from rag_grpc.core.model_ports import Generator
from rag_grpc.core.queries import Query, QueryResult
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.core.searches import HitParts
from rag_grpc.judges.lexical import LexicalJudge
from rag_grpc.stores.memory import MemoryStore
from tests.contracts.fakes import JsonCodec, Records, put, spec
from tests.contracts.store_lexical import written

QUESTION = "What is the capital of France?"
RIGHT = "The capital of France is Paris [1]."


class Scripted:
    """A Generator that gives what it is told, and remembers what it was asked and whether it was closed."""

    name = "scripted"
    takes_instructions = False

    def __init__(self, *events: Any) -> None:
        self.events = events
        self.tasks: list[WritingTask] = []
        self.closed = False

    async def write(self, task: WritingTask) -> AsyncGenerator[str | Written, None]:
        self.tasks.append(task)
        try:
            for each in self.events:
                if isinstance(each, Exception):
                    raise each
                yield each
        finally:
            self.closed = True


class Bench:
    """The use case over a store in memory with two documents."""

    def __init__(self) -> None:
        self.records = Records()
        self.analyzer = SnowballAnalyzer()
        self.store = MemoryStore(codec=JsonCodec(), analyzer=self.analyzer)
        self.judging = Judging({"lexical": LexicalJudge("lexical", self.analyzer)}, self.records)
        self.embedding = EmbeddingQueue({}, self.records)

    async def __aenter__(self) -> Self:
        await self.store.open()
        made = await self.store.create_collection(spec("default", language="en"), "")
        await put(self.store, made, written("france", "Paris is the capital of France.", title="France"))
        await put(self.store, made, written("cake", "A cake needs eggs."))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.embedding.close()
        await self.judging.close()
        await self.store.close()

    async def events(self, generators: Mapping[str, Generator], **request: Any) -> list[Any]:
        retrieval = Retrieval(
            store=self.store,
            embedders={},
            limits=Limits(),
            embedding=self.embedding,
            telemetry=self.records,
            analyzer=self.analyzer,
        )
        generation = Generation(
            store=self.store,
            retrieval=retrieval,
            generators=generators,
            grounding=Grounding(self.judging, self.analyzer, threshold=0.16),
            analyzer=self.analyzer,
            telemetry=self.records,
        )
        query = request.pop("query", Query(text=QUESTION, top_k=5))
        async with aclosing(generation.stream(AnswerRequest(query, **request))) as events:
            return [each async for each in events]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench() as made:
        yield made


async def test_sources_come_first_then_text_then_the_answer(bench: Bench) -> None:
    generator = Scripted("The capital of France ", "is Paris [1][9].", Written(Stop.COMPLETE, 7, 3))
    found, first, second, answer = await bench.events({"scripted": generator})
    assert isinstance(found, QueryResult)
    assert first + second == "The capital of France is Paris [1][9]."
    assert isinstance(answer, Answer)
    assert (answer.text, answer.grounded, answer.stop) == (RIGHT, True, Stop.COMPLETE)
    assert (answer.input_tokens, answer.output_tokens) == (7, 3)
    assert bench.records.answers == [(answer, 1)]
    (task,) = generator.tasks
    assert (task.question, task.language, task.sources[0].title) == (QUESTION, "en", "France")
    assert task.counts is not None
    assert task.counts.counts["franc"] == 1


async def test_what_is_omitted_reaches_the_generator_alone(bench: Bench) -> None:
    generator = Scripted(RIGHT, Written(Stop.COMPLETE))
    query = Query(text=QUESTION, parts=HitParts(text=False, title=False))
    found, _, answer = await bench.events({"scripted": generator}, query=query)
    assert {(hit.chunk.text, hit.title) for hit in found.hits} == {("", "")}
    assert answer.found == found
    assert generator.tasks[0].sources[0].text == "Paris is the capital of France."


async def test_without_sources_nobody_is_asked(bench: Bench) -> None:
    generator = Scripted(RIGHT, Written(Stop.COMPLETE))
    found, answer = await bench.events({"scripted": generator}, query=Query(text="zebra"))
    assert (list(found.hits), answer.stop, generator.tasks) == ([], Stop.NOT_GROUNDED, [])


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ((RIGHT,), "ended without saying why"),
        ((RIGHT, ValueError("secret")), "failed with ValueError"),
        ((ModelUnavailable("gone"),), "gone"),
    ],
)
async def test_a_generator_that_fails_is_unavailable(
    bench: Bench, events: tuple[Any, ...], what: str
) -> None:
    generator = Scripted(*events)
    with pytest.raises(ModelUnavailable, match=what) as raised:
        await bench.events({"scripted": generator})
    assert "secret" not in raised.value.message
    assert generator.closed


async def test_what_is_not_there_or_of_no_use_is_refused_before_anything_is_searched(bench: Bench) -> None:
    generator = Scripted(RIGHT, Written(Stop.COMPLETE))
    with pytest.raises(NotConfigured, match=r"no generator$"):
        await bench.events({})
    with pytest.raises(NotConfigured, match="no generator 'gpt'; it has: scripted"):
        await bench.events({"scripted": generator}, generator="gpt")
    with pytest.raises(InvalidField) as raised:
        await bench.events({"scripted": generator}, instructions="sing")
    assert [each.field for each in raised.value.violations] == ["options.instructions"]
    assert "lexical" not in bench.records.stages


async def test_a_source_that_was_not_sent_cannot_be_cited(bench: Bench) -> None:
    query = Query(text="Which cake has the capital of France?", top_k=5)
    said = RIGHT.replace("[1]", "[1][2][9]")
    *_, answer = await bench.events({"scripted": Scripted(said, Written(Stop.COMPLETE))}, query=query)
    assert [claim.sources for claim in answer.claims] == [(1, 2)]
    unsent = Written(Stop.COMPLETE, read=frozenset({1, 9}))
    *_, answer = await bench.events({"scripted": Scripted(said, unsent)}, query=query)
    assert answer.text == RIGHT
    assert bench.records.answers[-1] == (answer, 2)
    assert len(answer.found.hits) == 2


async def test_one_good_sentence_carries_no_inventions(bench: Bench) -> None:
    lies = " It was founded by Martians [1]. Its mayor is a horse [1]. Gold grows on its trees [1]."
    *_, answer = await bench.events({"scripted": Scripted(RIGHT + lies, Written(Stop.COMPLETE))})
    assert not answer.grounded

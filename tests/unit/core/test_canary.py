"""The canary measures what it should, takes nobody's place, and goes on whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from math import log2
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_grpc.core.canary import Canary
from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import ModelUnavailable
from rag_grpc.core.golden_set import GoldenSetFault, Question
from rag_grpc.core.index_recall import IndexMeasuring
from rag_grpc.core.limits import Limits
from rag_grpc.core.precedence import Precedence
from rag_grpc.core.quality import Measurement, Origin
from rag_grpc.core.quality_records import QualityRecords
from rag_grpc.core.queries import Query, QueryResult
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.stores.memory import MemoryStore
from tests.contracts.fakes import JsonCodec, LetterEmbedder, Records, prepared, put, spec

DIMENSION = 8
NEVER = 3600.0


class Source:
    """Questions that a test has in its hand."""

    def __init__(self, *questions: Question) -> None:
        self.questions = questions
        self.fault: GoldenSetFault | None = None

    async def refresh(self) -> None:
        if self.fault is not None:
            raise self.fault


class Board:
    def post(
        self, collection: str, kind: str, scores: Mapping[str, float], origin: Origin, time: int
    ) -> None:
        pass


class Moody(LetterEmbedder):
    """An embedder that answers no query with a word that it does not like."""

    disliked = "\0"

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if any(self.disliked in text for text in texts):
            raise ModelUnavailable("not today")
        return super().embed_queries(texts)


class Watched(Retrieval):
    """Notes how many of its queries run at once, and which."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.asked: list[Query] = []
        self.running = self.most = 0

    async def query(self, query: Query) -> QueryResult:
        self.asked.append(query)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await super().query(query)
        finally:
            self.running -= 1


class House:
    """Collections of documents that are some letters each, and a canary."""

    def __init__(self) -> None:
        self.store = MemoryStore(codec=JsonCodec())
        self.telemetry = Records()
        self.embedder = Moody()
        self.embedding = EmbeddingQueue({"letters": self.embedder}, self.telemetry)
        self.precedence = Precedence(longest_wait=NEVER)
        self.source = Source()
        self.time = 1_000_000.0
        self.judged: list[tuple[str, list[str], str]] = []
        self.verdicts: dict[str, float | Exception] = {}
        self.slept: list[float] = []
        self.records = QualityRecords(
            scoreboard=Board(),
            log=self.store.quality,
            telemetry=self.telemetry,
            clock=lambda: int(self.time * 1e9),
        )
        self.retrieval = Watched(
            store=self.store,
            embedders={"letters": self.embedder},
            limits=Limits(),
            embedding=self.embedding,
            telemetry=self.telemetry,
        )

    def canary(self, *questions: Question, interval: float = 900.0) -> Canary:
        self.source.questions = questions
        return Canary(
            source=self.source,
            retrieval=self.retrieval,
            precedence=self.precedence,
            index=IndexMeasuring(store=self.store, precedence=self.precedence, records=self.records),
            faithfulness=self.weigh,
            records=self.records,
            interval=interval,
            clock=lambda: self.time,
            sleep=self.sleep,
        )

    async def weigh(self, answer: str, contexts: Sequence[str], question: str) -> float:
        self.judged.append((answer, list(contexts), question))
        verdict = self.verdicts[answer]
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        if len(self.slept) > 3:
            raise asyncio.CancelledError

    async def fill(self, name: str, *documents: str) -> None:
        made = await self.store.create_collection(
            spec(name, embedder="letters", dimension=DIMENSION), "letters/1"
        )
        for document in documents:
            await put(self.store, made, prepared(document, self.embedder.embed([document])))

    async def measured(self) -> dict[tuple[str, str], float]:
        every = await self.store.quality.since(0)
        assert all(each.origin is Origin.CANARY for each in every)
        return {(each.collection, each.measure): each.value for each in every}


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    await house.store.open()
    yield house
    await house.embedding.close()
    await house.store.close()


async def test_a_run_measures_what_the_questions_find(house: House) -> None:
    await house.fill("things", "aaa", "bbb", "ccc")
    house.verdicts = {"yes": 0.25, "so it is": 0.75}
    canary = house.canary(
        Question("things", "aaa", {"aaa": 1}, answer="yes"),
        Question("things", "bbb", {"bbb": 2, "gone": 2}, answer="so it is"),
        Question("things", "ccc", {"gone": 1}),
    )
    await canary.measure()
    ideal = 2 + 2 / log2(3)
    assert await house.measured() == {
        ("things", "recall@10"): pytest.approx((1 + 0.5 + 0) / 3),
        ("things", "ndcg@10"): pytest.approx((1 + 2 / ideal + 0) / 3),
        ("things", "faithfulness"): 0.5,
        ("things", "index_recall"): 1.0,
        ("things", "index_recall_p5"): 1.0,
    }
    assert canary.state.last_run == house.time
    assert (canary.state.runs, canary.state.questions, sum(canary.state.failures.values())) == (1, 3, 0)


async def test_a_document_counts_once_however_many_of_its_chunks_are_found(house: House) -> None:
    await house.fill("things", "bbb")
    rows = house.embedder.embed(["aaa", "aab", "aac"])
    await put(house.store, house.store.collection("things"), prepared("aaa", rows))
    canary = house.canary(Question("things", "aaa", {"aaa": 1, "bbb": 1}))
    await canary.measure()
    measured = await house.measured()
    assert (measured["things", "recall@10"], measured["things", "ndcg@10"]) == (1.0, 1.0)


async def test_the_known_answer_is_judged_by_what_is_found_for_its_question(house: House) -> None:
    await house.fill("things", *(letter * 3 for letter in "abcdefgh"))
    house.verdicts = {"yes": 1.0}
    await house.canary(Question("things", "bbb", {"bbb": 1}, answer="yes")).measure()
    [(answer, contexts, question)] = house.judged
    assert (answer, question, contexts[0], len(contexts)) == ("yes", "bbb", "bbb, part 0", 5)


async def test_each_collection_is_measured_by_itself(house: House) -> None:
    await house.fill("here", "aaa")
    await house.fill("there", "bbb")
    canary = house.canary(
        Question("there", "bbb", {"bbb": 1}),
        Question("here", "aaa", {"bbb": 1}),
        Question("there", "aaa", {"aaa": 1}),
    )
    await canary.measure()
    measured = await house.measured()
    assert (measured["here", "recall@10"], measured["there", "recall@10"]) == (0.0, 0.5)


async def test_a_collection_that_vanished_is_counted_and_the_others_are_measured(house: House) -> None:
    await house.fill("things", "aaa")
    canary = house.canary(Question("gone", "aaa", {"aaa": 1}), Question("things", "aaa", {"aaa": 1}))
    await canary.measure()
    assert {collection for collection, _ in await house.measured()} == {"things"}
    assert canary.state.failures["collection_missing"] == 1
    assert canary.state.last_run is not None


async def test_a_mean_over_fewer_questions_is_not_recorded(house: House) -> None:
    await house.fill("things", "aaa", "bbb")
    canary = house.canary(Question("things", "aaa", {"aaa": 1}), Question("things", "bbb", {"bbb": 1}))
    house.embedder.disliked = "b"
    await canary.measure()
    # That a question could not be asked says nothing of the index.
    assert {measure for _, measure in await house.measured()} == {"index_recall", "index_recall_p5"}
    assert canary.state.failures["question"] == 1


async def test_a_judge_that_fails_and_a_fault_of_ours_leave_the_rest(house: House) -> None:
    await house.fill("a", "aaa")
    await house.fill("b", "bbb")
    house.verdicts = {"refused": ModelUnavailable("no"), "broken": ZeroDivisionError()}
    canary = house.canary(
        Question("a", "aaa", {"aaa": 1}, answer="broken"),
        Question("b", "bbb", {"bbb": 1}, answer="refused"),
    )
    await canary.measure()
    assert (canary.state.failures["judge"], canary.state.failures["internal"]) == (1, 1)
    assert set(await house.measured()) == {
        ("a", "ndcg@10"),
        ("a", "recall@10"),
        *(("b", measure) for measure in ("ndcg@10", "recall@10", "index_recall", "index_recall_p5")),
    }


async def test_a_run_that_measured_nothing_does_not_count_as_the_last(house: House) -> None:
    canary = house.canary(Question("gone", "aaa", {"aaa": 1}))
    await canary.measure()
    assert (canary.state.runs, canary.state.last_run) == (1, None)


async def test_a_bad_version_of_the_file_is_counted_and_the_last_one_asked(house: House) -> None:
    await house.fill("things", "aaa")
    canary = house.canary(Question("things", "aaa", {"aaa": 1}))
    house.source.fault = GoldenSetFault(["line 3: is no JSON object"])
    await canary.measure()
    assert canary.state.failures["file"] == 1
    assert (await house.measured())["things", "recall@10"] == 1.0
    house.source.fault = None
    house.source.questions = (Question("things", "aaa", {"other": 1}),)
    house.time += 1
    await canary.measure()
    assert (await house.measured())["things", "recall@10"] == 0.0
    assert canary.state.failures["file"] == 1


async def test_users_go_first_and_one_question_is_asked_at_a_time(house: House) -> None:
    await house.fill("things", "aaa", "bbb", "ccc")
    canary = house.canary(*(Question("things", letter * 3, {letter * 3: 1}) for letter in "abc"))
    house.precedence.enter(1)
    run = asyncio.create_task(canary.measure())
    for _ in range(20):
        await asyncio.sleep(0)
    assert house.retrieval.asked == []
    house.precedence.leave(1)
    await run
    assert len(house.retrieval.asked) == 3
    assert house.retrieval.most == 1


@pytest.mark.parametrize(
    ("last", "first_sleep"),
    [
        (None, 0.0),  # it never ran
        (1_000_000.0 - 600, 300.0),  # before a restart, not long ago
        (1_000_000.0 - 9000, 0.0),  # overdue
        (1_000_000.0 + 9000, 900.0),  # the clock was set back
    ],
)
async def test_it_runs_at_its_interval_also_over_a_restart(
    house: House, last: float | None, first_sleep: float
) -> None:
    await house.fill("things", "aaa")
    if last is not None:
        before = Measurement(int(last * 1e9), "things", "recall@10", 1.0)
        evaluated = Measurement(int(house.time * 1e9), "things", "recall@10", 1.0, Origin.EVALUATION)
        await house.store.quality.record([before, evaluated])
    canary = house.canary(Question("things", "aaa", {"aaa": 1}))
    with pytest.raises(asyncio.CancelledError):
        await canary.run(house.store.quality)
    assert house.slept == [first_sleep, 900.0, 900.0, 900.0]
    assert canary.state.runs == 3

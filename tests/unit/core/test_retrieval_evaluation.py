"""Labelled queries asked of a real Retrieval over the memory store, and what is made of their hits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import (
    CollectionNotFound,
    InvalidField,
    InvalidFilter,
    NotConfigured,
    RevisionMismatch,
    StorageFull,
)
from rag_grpc.core.index_recall import DEFAULT_SAMPLE, IndexMeasuring
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import Collection
from rag_grpc.core.precedence import Precedence
from rag_grpc.core.quality import Measurement, Origin
from rag_grpc.core.quality_records import QualityRecords
from rag_grpc.core.queries import CrossEncoding, Query
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.core.retrieval_evaluation import LabelledQuery, RetrievalEvaluation
from rag_grpc.core.searches import SearchMode
from rag_grpc.stores.memory import MemoryStore
from tests.contracts.fakes import JsonCodec, LetterEmbedder, Records, prepared, put, spec


class Board:
    """Keeps what is posted."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str, dict[str, float], Origin]] = []

    def post(
        self, collection: str, kind: str, scores: Mapping[str, float], origin: Origin, time: int
    ) -> None:
        self.posted.append((collection, kind, dict(scores), origin))


class House:
    """A collection "letters" of documents that are one letter each, and what measures it."""

    def __init__(self) -> None:
        self.store = MemoryStore(codec=JsonCodec())
        self.embedder = LetterEmbedder()
        self.telemetry = Records()
        self.embedding = EmbeddingQueue({"letters": self.embedder}, self.telemetry)
        self.precedence = Precedence()
        self.board = Board()
        self.records = QualityRecords(scoreboard=self.board, log=self.store.quality, telemetry=self.telemetry)
        retrieval = Retrieval(
            store=self.store,
            embedders={"letters": self.embedder},
            limits=Limits(),
            embedding=self.embedding,
            telemetry=self.telemetry,
        )
        self.evaluation = RetrievalEvaluation(
            retrieval=retrieval, precedence=self.precedence, records=self.records
        )
        self.index = IndexMeasuring(store=self.store, precedence=self.precedence, records=self.records)

    async def fill(self, names: Sequence[str]) -> Collection:
        made = await self.store.create_collection(
            spec("letters", embedder="letters", dimension=8), "letters/1"
        )
        for name in names:
            await put(self.store, made, prepared(name, self.embedder.embed([name])))
        return made


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    await house.store.open()
    yield house
    await house.embedding.close()
    await house.store.close()


def template(**more: Any) -> Query:
    return Query(**{"collection": "letters", "top_k": 0, **more})


async def test_a_run_scores_what_is_found(house: House) -> None:
    await house.fill(["aaaa", "bbbb", "cccc"])
    run = house.evaluation.begin(template(), (1, 2))
    labelled = [
        LabelledQuery("q1", "aaaa", {"aaaa": 1}),
        LabelledQuery("q2", "bbbb", {"nowhere": 2, "cccc": 0}),
    ]
    assert [run.admit(each.query_id) for each in labelled] == [True, True]
    first, second = [await run.answer(each) for each in labelled]
    assert (first.query_id, first.recall, first.ndcg, first.doc_ids[0]) == ("q1", 1.0, 1.0, "aaaa")
    assert len(first.doc_ids) == 2
    assert (second.recall, second.ndcg) == (0.0, 0.0)
    report = await run.finish()
    assert report.query_count == 2
    assert [(at.k, at.recall, at.precision) for at in report.cutoffs] == [(1, 0.5, 0.5), (2, 0.5, 0.25)]
    assert report.mean_average_precision == 0.5
    assert 0 < report.latency_p50 <= report.latency_p99


async def test_its_result_is_posted_and_kept(house: House) -> None:
    await house.fill(["aaaa"])
    run = house.evaluation.begin(template(), (3,))
    run.admit("q")
    await run.answer(LabelledQuery("q", "aaaa", {"aaaa": 1}))
    await run.finish()
    scores = {
        "map": 1.0,
        "recall@3": 1.0,
        "precision@3": pytest.approx(1 / 3),
        "ndcg@3": 1.0,
        "reciprocal_rank@3": 1.0,
        "hit_rate@3": 1.0,
    }
    assert house.board.posted == [("letters", "retrieval", scores, Origin.EVALUATION)]
    kept = await house.store.quality.last()
    assert {(each.collection, each.measure, each.value) for each in kept} == {
        ("letters", name, value) for name, value in house.board.posted[0][2].items()
    }


async def test_of_many_cutoffs_the_smallest_are_shown(house: House) -> None:
    await house.fill(["aaaa"])
    run = house.evaluation.begin(template(), tuple(range(50, 0, -1)))
    run.admit("q")
    scores = await run.answer(LabelledQuery("q", "aaaa", {"aaaa": 1}))
    assert scores.recall == 1.0
    assert [at.k for at in (await run.finish()).cutoffs] == list(range(50, 0, -1))
    shown = house.board.posted[0][2]
    assert len(shown) == 51
    assert "recall@10" in shown
    assert "recall@11" not in shown


async def test_a_full_disk_keeps_no_result_from_who_measures(house: House) -> None:
    class Full:
        async def record(self, measurements: Sequence[Measurement]) -> None:
            raise StorageFull("no room")

        async def since(self, time: int) -> list[Measurement]:
            return []

        async def last(self) -> list[Measurement]:
            return []

    records = QualityRecords(scoreboard=house.board, log=Full(), telemetry=house.telemetry)
    await records.add("letters", "index", {"index_recall": 1.0})
    assert len(house.board.posted) == 1
    assert "quality_not_recorded" in house.telemetry.events


async def test_defaults_are_the_contracts(house: House) -> None:
    await house.fill([f"d{number}" for number in range(120)])
    run = house.evaluation.begin(template())
    run.admit("q")
    scores = await run.answer(LabelledQuery("q", "d1", {"d1": 1}))
    assert len(scores.doc_ids) == 100
    assert [at.k for at in (await run.finish()).cutoffs] == [1, 3, 5, 10, 100]


async def test_documents_are_counted_once_at_their_best_chunk(house: House) -> None:
    made = await house.fill(["aaaa"])
    rows = house.embedder.embed(["b", "bbbb", "bbb"])
    await put(house.store, made, prepared("bs", rows))
    run = house.evaluation.begin(template(max_hits_per_document=0), (5,))
    run.admit("q")
    scores = await run.answer(LabelledQuery("q", "bbbb", {"bs": 1}))
    assert scores.doc_ids == ("bs", "aaaa")


async def test_an_id_is_admitted_once(house: House) -> None:
    await house.fill(["aaaa"])
    run = house.evaluation.begin(template())
    assert [run.admit(each) for each in ("q", "r", "q", "\ud800")] == [True, True, False, True]
    assert (run.received, run.done) == (3, 0)


async def test_a_run_without_queries_has_no_report(house: House) -> None:
    await house.fill(["aaaa"])
    with pytest.raises(InvalidField, match="queries"):
        await house.evaluation.begin(template()).finish()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"collection": "nowhere"}, CollectionNotFound),
        ({"filter": "a ="}, InvalidFilter),
        ({"rerank": CrossEncoding("nobody")}, NotConfigured),
    ],
)
async def test_what_all_queries_would_raise_is_raised_first(
    house: House, wrong: dict[str, Any], error: type[Exception]
) -> None:
    await house.fill(["aaaa"])
    with pytest.raises(error, match=r"^template: ") as raised:
        house.evaluation.begin(template(**wrong))
    fields = [each.field for each in getattr(raised.value, "violations", ())]
    assert all(field.startswith("template.") for field in fields)


async def test_a_collection_without_an_embedder_is_measured_by_words_alone(house: House) -> None:
    made = await house.store.create_collection(spec("words"), "")
    await put(house.store, made, prepared("d"))
    house.evaluation.begin(template(collection="words"))
    for mode in (SearchMode.DENSE, SearchMode.HYBRID):
        with pytest.raises(InvalidField) as raised:
            house.evaluation.begin(template(collection="words", mode=mode))
        assert [each.field for each in raised.value.violations] == ["template.mode"]


async def test_an_error_in_the_middle_names_its_query(house: House) -> None:
    made = await house.fill(["aaaa"])
    run = house.evaluation.begin(template())
    run.admit("q 7")
    await house.store.delete_collection(made)
    with pytest.raises(CollectionNotFound, match="query 'q 7': ") as raised:
        await run.answer(LabelledQuery("q 7", "aaaa", {"aaaa": 1}))
    assert raised.value.metadata == {"collection": "letters", "query_id": "q 7"}


def test_an_error_of_a_part_is_a_copy() -> None:
    error = RevisionMismatch("d", expected=1, current=2)
    said = error.of_part("item 3", prefix="items[3].", metadata={"item": "3"})
    assert isinstance(said, RevisionMismatch)
    assert (said.current, said.doc_id, str(said)) == (2, "d", "item 3: " + error.message)
    assert said.metadata == {**error.metadata, "item": "3"}
    assert "item" not in error.metadata


async def test_queries_wait_while_users_ask(house: House) -> None:
    await house.fill(["aaaa"])
    precedence = Precedence(longest_wait=1e6)
    evaluation = RetrievalEvaluation(
        retrieval=Retrieval(
            store=house.store,
            embedders={"letters": house.embedder},
            limits=Limits(),
            embedding=house.embedding,
            telemetry=house.telemetry,
        ),
        precedence=precedence,
        records=house.records,
    )
    run = evaluation.begin(template())
    run.admit("q")
    precedence.enter(1)
    answer = asyncio.ensure_future(run.answer(LabelledQuery("q", "aaaa", {"aaaa": 1})))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not answer.done()
    precedence.leave(1)
    assert (await asyncio.wait_for(answer, 10)).recall == 1.0


# ---------------------------------------------------------------------------- the index


class Recorder(MemoryStore):
    """Says what it was asked, and shares that the test gives."""

    def __init__(self) -> None:
        super().__init__(codec=JsonCodec())
        self.asked: list[list[float]] = []
        self.knobs: set[tuple[int, int]] = set()

    def places(self) -> list[float]:
        return [place for each in self.asked for place in each]

    async def index_recall(
        self, collection: Collection, places: Sequence[float], *, top_k: int, ef: int
    ) -> list[float]:
        await super().index_recall(collection, places, top_k=top_k, ef=ef)
        self.asked.append(list(places))
        self.knobs.add((top_k, ef))
        return [float(np.floor(place * 100) / 100) for place in places]


class Measured:
    """A collection of 300 chunks in a Recorder."""

    def __init__(self) -> None:
        self.store = Recorder()
        self.board = Board()
        records = QualityRecords(scoreboard=self.board, log=self.store.quality, telemetry=Records())
        self.index = IndexMeasuring(store=self.store, precedence=Precedence(), records=records)

    async def fill(self, count: int) -> None:
        await self.store.open()
        made = await self.store.create_collection(spec("things"), "")
        for number in range(count):
            await put(self.store, made, prepared(f"d{number}"))


async def test_a_sample_is_spread_evenly_and_the_same_again() -> None:
    measured = Measured()
    await measured.fill(300)
    result = await measured.index.measure("things")
    places = measured.store.places()
    assert measured.store.knobs == {(10, 0)}
    assert result.sample_size == len(places) == DEFAULT_SAMPLE
    assert [int(place * 100) for place in places] == list(range(100))
    measured.store.asked.clear()
    assert await measured.index.measure("things") == result
    assert measured.store.places() == places
    measured.store.asked.clear()
    await measured.index.measure("things", seed=1)
    assert measured.store.places() != places


async def test_mean_and_worst_are_told_and_posted() -> None:
    measured = Measured()
    await measured.fill(300)
    result = await measured.index.measure("things", top_k=3, ef=7)
    assert measured.store.knobs == {(3, 7)}
    assert result.recall == pytest.approx(0.495)
    assert result.recall_p5 == pytest.approx(0.05)
    assert measured.board.posted == [
        (
            "things",
            "index",
            {"index_recall": result.recall, "index_recall_p5": result.recall_p5},
            Origin.EVALUATION,
        )
    ]


async def test_no_more_are_asked_than_there_are() -> None:
    measured = Measured()
    await measured.fill(5)
    assert (await measured.index.measure("things", sample_size=50)).sample_size == 5


async def test_a_large_sample_is_asked_in_turns() -> None:
    measured = Measured()
    await measured.fill(200)
    await measured.index.measure("things", sample_size=200)
    assert [len(each) for each in measured.store.asked] == [64, 64, 64, 8]


async def test_nothing_misses_nothing(house: House) -> None:
    await house.fill([])
    result = await house.index.measure("letters")
    assert (result.recall, result.recall_p5, result.sample_size) == (1.0, 1.0, 0)
    with pytest.raises(CollectionNotFound):
        await house.index.measure("nowhere")

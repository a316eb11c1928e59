"""The canary: the server asks itself questions whose answers are known, again and again.

Latency shows when a server gets slow, errors when it breaks; that it still answers, and
answers worse, nothing shows but asking. So a golden set is asked at an interval, one
question at a time and below users' queries, and what comes of it is shown and kept.

For each collection that the set names a run measures

* recall@10 and ndcg@10 of its questions, as an evaluation does (`core.measures`);
* faithfulness: how far the passages that an answer would be made from support the answer
  that is known to be true, over the questions that have one. The known answer is judged
  and not one written anew: nothing but what is found can move it then, it costs no
  generator's tokens, and a generator that copies its sources could not show a fall;
* index_recall: what the graph misses, see `core.index_recall`.

A mean over other questions than the last time does not compare. So where one question of
a collection cannot be asked, that collection is not measured in this run, which is counted
and logged; the others are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

import structlog

from rag_grpc.core.errors import CollectionNotFound, RagError
from rag_grpc.core.golden_set import GoldenSetFault, Question
from rag_grpc.core.index_recall import IndexMeasuring
from rag_grpc.core.measures import Means, score_ranking
from rag_grpc.core.precedence import Precedence
from rag_grpc.core.quality import Origin, QualityLog
from rag_grpc.core.quality_records import QualityRecords
from rag_grpc.core.queries import Query
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.core.retrieval_evaluation import ONLY_IDS

log = structlog.get_logger(__name__)

CUTOFF = 10
"""Hits that recall and nDCG look at: what people read, and what a prompt has room for."""
SOURCES = 5
"""Passages that an answer is made from where nobody says how many: the contract's default."""
REASONS = ("collection_missing", "file", "index", "internal", "judge", "question")
"""Why a run, or a part of one, measured nothing."""


class QuestionSource(Protocol):
    """Where questions come from; they may change."""

    @property
    def questions(self) -> tuple[Question, ...]:
        """Those of the last version that was right."""

    async def refresh(self) -> None:
        """Look for a newer version. Must raise GoldenSetFault where that is wrong, and keep the last."""


class FaithfulnessMeasure(Protocol):
    """Says how far passages support an answer, from 0 to 1, when it is its turn. May raise any RagError."""

    async def __call__(self, answer: str, contexts: Sequence[str], question: str) -> float:
        """Weigh one answer, to the question that it answers."""


@dataclass(slots=True)
class CanaryState:
    """What the canary says of itself, to be read by any thread. Times in seconds, `last_run` since 1970."""

    interval: float
    questions: int = 0
    runs: int = 0
    last_run: float | None = None
    failures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))


class Canary:
    """Runs at an interval until it is cancelled."""

    def __init__(
        self,
        *,
        source: QuestionSource,
        retrieval: Retrieval,
        precedence: Precedence,
        index: IndexMeasuring,
        faithfulness: FaithfulnessMeasure | None,
        records: QualityRecords,
        interval: float,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`retrieval` must be one that does not count as a user with `precedence`."""
        self._source = source
        self._retrieval = retrieval
        self._precedence = precedence
        self._index = index
        self._faithfulness = faithfulness
        self._records = records
        self._clock = clock
        self._sleep = sleep
        self.state = CanaryState(interval, questions=len(source.questions))

    async def run(self, quality: QualityLog) -> None:
        """Measure at the interval, for ever; after a restart, when the last run before it is so long ago."""
        times = [each.time for each in await quality.last() if each.origin is Origin.CANARY]
        self.state.last_run = max(times) / 1e9 if times else None
        begin = (self.state.last_run or 0.0) + self.state.interval
        while True:
            # A clock that was set back must not silence it for longer than an interval.
            await self._sleep(min(max(0.0, begin - self._clock()), self.state.interval))
            begin = self._clock() + self.state.interval
            await self.measure()

    async def measure(self) -> None:
        """Do one run."""
        began = self._clock()
        try:
            await self._source.refresh()
        except GoldenSetFault as fault:
            self._failed("file")
            log.warning("canary_file_refused", faults=fault.faults)
        questions = sorted(self._source.questions, key=lambda each: each.collection)
        self.state.questions = len(questions)
        measured = 0
        for collection, group in groupby(questions, key=lambda each: each.collection):
            measured += await self._tried(collection, tuple(group))
        self.state.runs += 1
        if measured:
            self.state.last_run = self._clock()
        seconds = round(self._clock() - began, 3)
        log.info("canary_ran", questions=len(questions), collections=measured, seconds=seconds)

    async def _tried(self, collection: str, questions: Sequence[Question]) -> bool:
        """Measure a collection, whatever happens; say whether it went well."""
        try:
            return await self._collection(collection, questions)
        except CollectionNotFound:
            self._failed("collection_missing")
            log.warning("canary_collection_missing", collection=collection, questions=len(questions))
        except Exception:
            # A fault of ours must not end the measuring, or nobody would learn of the next one.
            self._failed("internal")
            log.exception("canary_broke", collection=collection)
        return False

    async def _collection(self, collection: str, questions: Sequence[Question]) -> bool:
        done = await self._part("question", collection, self._retrieved(collection, questions))
        answered = [each for each in questions if each.answer]
        if answered and self._faithfulness is not None:
            judging = self._judged(self._faithfulness, collection, answered)
            done |= await self._part("judge", collection, judging)
        return done | await self._part("index", collection, self._indexed(collection))

    async def _part(self, reason: str, collection: str, work: Awaitable[None]) -> bool:
        """Do one kind of measuring and say whether it came to its end. The others have their turn anyway."""
        try:
            await work
            return True
        except CollectionNotFound:
            raise
        except RagError as error:
            self._failed(reason)
            # Not its text: that may name what was asked.
            log.warning("canary_failed", collection=collection, part=reason, error=type(error).__name__)
            return False

    async def _retrieved(self, collection: str, questions: Sequence[Question]) -> None:
        means = Means((CUTOFF,))
        for question in questions:
            query = Query(collection, question.query, top_k=CUTOFF, max_hits_per_document=1, parts=ONLY_IDS)
            async with self._precedence.turn():
                result = await self._retrieval.query(query)
            found = [hit.doc_id for hit in result.hits]
            means.add(score_ranking(found, question.relevance, (CUTOFF,)))
        (scores,) = means.scores().cutoffs
        shown = {f"recall@{CUTOFF}": scores.recall, f"ndcg@{CUTOFF}": scores.ndcg}
        await self._records.add(collection, "retrieval", shown, origin=Origin.CANARY)

    async def _judged(
        self, faithfulness: FaithfulnessMeasure, collection: str, questions: Sequence[Question]
    ) -> None:
        total = 0.0
        for question in questions:
            async with self._precedence.turn():
                result = await self._retrieval.query(Query(collection, question.query, top_k=SOURCES))
            # Judging has turns of its own; one that waited for them in a turn would hold itself up.
            contexts = [hit.chunk.text for hit in result.hits]
            total += await faithfulness(question.answer, contexts, question.query)
        shown = {"faithfulness": total / len(questions)}
        await self._records.add(collection, "faithfulness", shown, origin=Origin.CANARY)

    async def _indexed(self, collection: str) -> None:
        await self._index.measure(collection, origin=Origin.CANARY)

    def _failed(self, reason: str) -> None:
        self.state.failures[reason] += 1

"""EvaluateFaithfulness: how far the contexts of answers support them, sentence by sentence.

An answer is as faithful as its sentences are at the mean: one that is half made up has
half. Citations are no part of what a sentence says, so the judge does not see them.

Users go first, as in all measuring: sentences are weighed some at a time, and each time
waits for its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from rag_grpc.core.answers import Statement, Support
from rag_grpc.core.citations import without_citations
from rag_grpc.core.errors import LimitExceeded
from rag_grpc.core.judging import Judging
from rag_grpc.core.models import TextSpan
from rag_grpc.core.precedence import Precedence
from rag_grpc.core.quality_records import QualityRecords
from rag_grpc.core.sentences import sentences

SENTENCES_A_TURN: Final = 64
"""At most. A turn is for one batch of the judge: with one far away, each may take seconds."""


@dataclass(frozen=True, slots=True)
class AnswerWithContext:
    """An answer, what it should rest on, and what it answers.

    `question` and `language`, an ISO 639-1 code, are "" where nobody knows.
    """

    answer: str
    contexts: Sequence[str]
    question: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How far an answer's contexts support it, and each of its sentences, in order."""

    value: float
    sentences: tuple[tuple[TextSpan, Support], ...]


@dataclass(frozen=True, slots=True)
class FaithfulnessReport:
    """One result an answer, in their order, and the judge's name."""

    judge: str
    results: tuple[Faithfulness, ...]


class FaithfulnessEvaluation:
    """Weighs answers against their contexts."""

    def __init__(self, *, judging: Judging, precedence: Precedence, records: QualityRecords) -> None:
        self._judging = judging
        self._precedence = precedence
        self._records = records

    async def evaluate(
        self, answers: Sequence[AnswerWithContext], *, judge: str = "", most_sentences: int
    ) -> FaithfulnessReport:
        """Weigh answers that all have some text.

        Raises NotConfigured, ModelUnavailable, NotReady, and LimitExceeded, before anything is weighed, for
        more than `most_sentences` in all: no response would hold them.
        """
        report = await self.weigh(answers, judge=judge, most_sentences=most_sentences)
        mean = fmean(each.value for each in report.results)
        await self._records.add("", "faithfulness", {"faithfulness": mean})
        return report

    async def weigh(
        self, answers: Sequence[AnswerWithContext], *, judge: str = "", most_sentences: int
    ) -> FaithfulnessReport:
        """Do the same for somebody who keeps what comes of it himself."""
        name = self._judging.named(judge)
        spans = await asyncio.to_thread(lambda: [sentences(each.answer) for each in answers])
        count = sum(map(len, spans))
        if count > most_sentences:
            raise LimitExceeded(
                f"the answers have {count} sentences, and a response has room for {most_sentences}"
                " (max_response_bytes of GetServerInfo): send fewer answers at once",
                metadata={"limit": "max_response_bytes"},
            )
        statements = await asyncio.to_thread(_statements, answers, spans)
        supports = iter(await self._weighed(name, statements))
        results = tuple(_faithfulness([(span, next(supports)) for span in each]) for each in spans)
        return FaithfulnessReport(name, results)

    async def _weighed(self, judge: str, statements: Sequence[Statement]) -> list[Support]:
        supports: list[Support] = []
        size = min(SENTENCES_A_TURN, self._judging.batch(judge))
        for begin in range(0, len(statements), size):
            async with self._precedence.turn():
                supports += await self._judging.weigh(judge, statements[begin : begin + size])
        return supports


def _statements(answers: Sequence[AnswerWithContext], spans: Sequence[Sequence[TextSpan]]) -> list[Statement]:
    return [
        Statement(
            without_citations(answer.answer[span.start : span.end]),
            answer.contexts,
            answer.question,
            answer.language,
        )
        for answer, of_answer in zip(answers, spans, strict=True)
        for span in of_answer
    ]


def _faithfulness(weighed: Sequence[tuple[TextSpan, Support]]) -> Faithfulness:
    return Faithfulness(fmean(support.value for _, support in weighed), tuple(weighed))

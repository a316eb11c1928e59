"""Answers of a server in this process to questions whose answers are known, and what they are worth."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.answer_quality.questions import Asked
from rag_client import AsyncRagClient
from rag_client.answers import Answer
from rag_grpc.core.citations import without_citations

AT_ONCE = 8
COLLECTION = "squad"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A question and its answer."""

    asked: Asked
    answer: Answer

    @property
    def right(self) -> bool:
        """Whether the text holds what was asked for."""
        return self.asked.answered_by(self.answer.text)

    @property
    def words(self) -> int:
        """Words of the text, citations left out."""
        return sum(not each.startswith("[") for each in self.answer.text.split())

    @property
    def support(self) -> float:
        """Support of its best sentence."""
        return max((each.support for each in self.answer.claims), default=0.0)

    @property
    def faithful(self) -> bool:
        """Whether every sentence stands in a source that it cites."""
        text, hits = self.answer.text, self.answer.sources
        return all(
            claim.sources
            and any(
                _plain(text[claim.start : claim.end]) in _plain(hits[number - 1].chunk.text)
                for number in claim.sources
            )
            for claim in self.answer.claims
        )


def _plain(text: str) -> str:
    return " ".join(without_citations(text).split())


async def answered(
    client: AsyncRagClient, asked: Sequence[Asked], *, without_own: bool = False
) -> list[Outcome]:
    """Ask all questions; `without_own` leaves each one's own paragraph out of what may be found."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(each: Asked) -> Outcome:
        wanted = f'id != "{each.document}"' if without_own else ""
        async with turns:
            return Outcome(
                each, await client.generate_answer(each.text, collection=COLLECTION, filter=wanted)
            )

    return list(await asyncio.gather(*map(one, asked)))


def area_under_curve(good: Sequence[float], bad: Sequence[float]) -> float:
    """Return how often a good one has more than a bad one; those that tie count half."""
    more, less = np.array(good)[:, None], np.array(bad)[None, :]
    return float(((more > less) + (more == less) / 2).mean())

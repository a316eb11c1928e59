"""What was written, taken apart: its sentences, what they cite, and how far that supports them.

A generator is trusted in nothing. A citation of a source that it was not given is taken
out, be it that there is none of that number, or that it had no room in the prompt. A
sentence's support is a product of two judgements. The judge says how far the cited
passages say the same; `core.evidence` says how far the place where they say it answers
the question. So a sentence from a passage that speaks of something else has none, though
the passage has it word for word; nor has one that a document told the model to say.

An answer is grounded where its best sentence has enough support, and where the judge
finds at least half of the answer in the sources: one good sentence carries no page of
inventions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from statistics import fmean
from typing import Final, NamedTuple

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.answers import Claim, Source, Statement, Stop, WritingTask, Written
from rag_grpc.core.citations import checked, cited, without_citations
from rag_grpc.core.evidence import Evidence, weigh
from rag_grpc.core.judging import Judging
from rag_grpc.core.models import TextSpan
from rag_grpc.core.questions import question_of
from rag_grpc.core.sentences import sentences

BORNE_OUT: Final = 0.5
"""The judge's support that the sentences of a grounded answer have at least, in the mean."""
_ABOUT_THE_SAME: Final = 0.5
"""A source may say a thing in several places: those count that share half as many words as the best."""


class Grounded(NamedTuple):
    """A text with its citations checked, its claims, and whether the sources support it.

    `removed` counts citations of sources that the generator was not given.
    """

    text: str
    claims: tuple[Claim, ...]
    grounded: bool
    removed: int


class Grounding:
    """Checks answers. `threshold` is the support that the best sentence of a grounded answer has at least."""

    def __init__(self, judging: Judging, analyzer: Analyzer, *, threshold: float) -> None:
        self._judging = judging
        self._analyzer = analyzer
        self._threshold = threshold

    async def check(self, text: str, task: WritingTask, written: Written) -> Grounded:
        """Take an answer apart, which was written so. Raises what Judging.weigh raises."""
        there_are = range(1, len(task.sources) + 1)
        sources = there_are if written.read is None else written.read.intersection(there_are)
        text, removed = checked(text.strip(), sources)
        spans = sentences(text)
        numbers = cited(text, spans)
        said = [without_citations(text[span.start : span.end]) for span in spans]
        weighed = await self._weighed(task, said, numbers)
        places = await asyncio.to_thread(self._answering, task, said, numbers)
        claims = tuple(
            _claim(span, cites, borne_out * answers)
            for span, cites, borne_out, answers in zip(spans, numbers, weighed, places, strict=True)
        )
        best = max((each.support for each in claims), default=0.0)
        if written.stop is Stop.LENGTH and len(weighed) > 1 and not numbers[-1]:
            # The citation that was to follow.
            weighed = weighed[:-1]
        grounded = bool(claims) and best >= self._threshold and fmean(weighed) >= BORNE_OUT
        return Grounded(text, claims, grounded, removed)

    async def _weighed(
        self, task: WritingTask, said: Sequence[str], numbers: Sequence[tuple[int, ...]]
    ) -> list[float]:
        """Let the judge weigh each sentence. One that a source has word for word needs no judge."""
        contexts = [[in_full(task.sources[number - 1]) for number in cites] for cites in numbers]
        quoted = await asyncio.to_thread(_quoted, said, contexts)
        statements = [
            Statement(text, among, task.question, task.language)
            for text, among, word_for_word in zip(said, contexts, quoted, strict=True)
            if not word_for_word
        ]
        weighed = iter(await self._judging.weigh("", statements) if statements else ())
        return [1.0 if word_for_word else next(weighed).value for word_for_word in quoted]

    def _answering(
        self, task: WritingTask, said: Sequence[str], numbers: Sequence[tuple[int, ...]]
    ) -> list[float]:
        """Say of each sentence how far what it rests on answers the question: 0 to 1. Blocks."""
        question = question_of(self._analyzer, task.question, task.language, task.counts)
        found: dict[int, list[Evidence]] = {}
        for each in weigh(self._analyzer, question, task.sources):
            found.setdefault(each.source + 1, []).append(each)
        return [
            max(
                (self._where_it_stands(text, found.get(number, []), task.language) for number in cites),
                default=0.0,
            )
            for text, cites in zip(said, numbers, strict=True)
        ]

    def _where_it_stands(self, text: str, passage: Sequence[Evidence], language: str) -> float:
        """Find the place in a passage that says most of a sentence, and how far that answers the question.

        Where they have no word in common the best of the passage counts: another language, say, and then
        only the judge can tell.
        """
        terms = frozenset(self._analyzer.terms(text, language))
        shared = [len(terms.intersection(each.terms)) for each in passage]
        least = max(shared, default=0) * _ABOUT_THE_SAME
        return max(
            (each.support for each, common in zip(passage, shared, strict=True) if common >= least),
            default=0.0,
        )


def in_full(source: Source) -> str:
    """Return a source's text with what stands above it, which a sentence may rest on too."""
    return "\n".join(filter(None, (source.title, *source.headings, source.text)))


def _quoted(said: Sequence[str], contexts: Sequence[Sequence[str]]) -> list[bool]:
    """Tell of each sentence whether a context has it as it stands, but for citations and space. Blocks."""

    @cache
    def plain(context: str) -> str:
        return " ".join(without_citations(context).split())

    found = []
    for text, among in zip(said, contexts, strict=True):
        words = " ".join(text.split())
        found.append(bool(words) and any(words in plain(each) for each in among))
    return found


def _claim(span: TextSpan, cites: tuple[int, ...], support: float) -> Claim:
    return Claim(span, cites, min(1.0, max(0.0, support)))

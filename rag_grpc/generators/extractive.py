"""The default generator: the sentences of the sources that answer best, as they stand, each with its source.

No model, no network, the same answer every time, and nothing in it that no source says.
What it cannot do is put things in its own words: it shows where an answer stands.

Of all sentences of all sources it takes the one that answers best, and then those that
are likely enough to hold the answer for the room that they take: sure of one it says
one, in doubt it says some. They stand in the order of the sources. Where a sentence has
numbers in brackets, which readers would take for citations, they are left out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from math import exp
from typing import Final

from rag_grpc.core.analysis import Analyzer, words
from rag_grpc.core.answers import Stop, WritingTask, Written
from rag_grpc.core.citations import without_citations
from rag_grpc.core.evidence import Evidence, weigh
from rag_grpc.core.no_answer import no_answer
from rag_grpc.core.questions import question_of

MOST_SENTENCES: Final = 4
LEAST_WORDS: Final = 8
"""What a further sentence counts as at least: a heading takes little room, and says little."""
WORTH_A_WORD: Final = 0.0045
"""How likely a further sentence must be to hold the answer, for each word that counts in it: chosen so that
answers have some 45 words in the mean, on questions that no figure is reported from."""


_HEADING: Final = re.compile(r"\s*#{1,6}\s")
_STOP: Final = re.compile(r"[^\w\s\"'\u2019\u201d\u00bb)\]}:;,-][\"'\u2019\u201d\u00bb)\]}]*$")
"""What ends a sentence, in any script: a sign that neither closes something nor goes on."""


class ExtractiveGenerator:
    """A Generator that quotes. `threshold` is the support below which it says that there is no answer."""

    takes_instructions = False

    def __init__(self, name: str, analyzer: Analyzer, *, threshold: float) -> None:
        self._name = name
        self._analyzer = analyzer
        self._threshold = threshold

    @property
    def name(self) -> str:
        """What a request calls it."""
        return self._name

    async def write(self, task: WritingTask) -> AsyncGenerator[str | Written, None]:
        """Quote, sentence by sentence."""
        chosen = await asyncio.to_thread(self._chosen, task)
        if not chosen:
            yield no_answer(task.language)
            yield Written(Stop.NOT_GROUNDED)
            return
        room = task.max_output_tokens
        between = ""
        for place, each in enumerate(chosen):
            text, took = _within(_quoted(task, each), room)
            if text:
                yield f"{between}{text} [{each.source + 1}]"
                # Else what a chunk cuts off within a sentence would run into the next one.
                between = " " if _STOP.search(text) else "\n\n"
            if room and took >= room and (place + 1 < len(chosen) or text != _quoted(task, each)):
                yield Written(Stop.LENGTH)
                return
            room -= took if room else 0
        yield Written(Stop.COMPLETE)

    def _chosen(self, task: WritingTask) -> list[Evidence]:
        """Choose sentences, in the order of the sources. Blocks."""
        question = question_of(self._analyzer, task.question, task.language, task.counts)
        found = [each for each in weigh(self._analyzer, question, task.sources) if _quoted(task, each)]
        chosen = best(found)
        if not chosen or max(each.support for each in chosen) < self._threshold:
            return []
        return chosen


def best(found: Sequence[Evidence]) -> list[Evidence]:
    """Choose the best sentence, and further ones that are worth their room; in the order of `found`."""
    if not any(each.support > 0 for each in found):
        return []
    top = max(each.choice for each in found)
    shares = [exp(each.choice - top) for each in found]
    total = sum(shares)
    order = sorted(range(len(found)), key=lambda place: -shares[place])
    chosen = [order[0]]
    for place in order[1:]:
        if len(chosen) == MOST_SENTENCES:
            break
        terms = found[place].terms
        # Chunks may overlap, and sources repeat each other.
        said = any(terms == found[each].terms for each in chosen)
        if not said and shares[place] / total > WORTH_A_WORD * max(LEAST_WORDS, len(terms)):
            chosen.append(place)
    return [found[place] for place in sorted(chosen)]


def _quoted(task: WritingTask, evidence: Evidence) -> str:
    span = evidence.span
    text = without_citations(task.sources[evidence.source].text[span.start : span.end])
    # A line that was wrapped in a source is none in an answer; and a heading of Markdown says nothing.
    return "" if _HEADING.match(text) else " ".join(text.split())


def _within(text: str, room: int) -> tuple[str, int]:
    """Cut a text to `room` words, 0 for any number, and say how many it has then."""
    tokens = words(text)
    if not room or len(tokens) <= room:
        return text, len(tokens)
    return text[: tokens[room - 1].end], room

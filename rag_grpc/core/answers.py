"""What an answer is made from, and what it comes to.

A generator writes; what it wrote is trusted nowhere: `rag_grpc.core.generation` takes
it apart into sentences, checks every citation against the sources, and lets a judge
say how far those support it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from rag_grpc.core.models import TextSpan
from rag_grpc.core.queries import Query, QueryResult
from rag_grpc.core.searches import WordCounts


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that an answer may draw on, cited by its place in the list, from 1."""

    text: str
    title: str = ""
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WritingTask:
    """What a generator is asked to write.

    `sources` are never empty. `max_output_tokens` 0 is the generator's default. `language` is the
    collection's, "" where it has none. `instructions` are the caller's, beside the server's own.
    """

    question: str
    sources: Sequence[Source]
    language: str = ""
    max_output_tokens: int = 0
    temperature: float = 0.0
    instructions: str = ""
    counts: WordCounts | None = None
    """How common the question's words are in the collection; None where nobody knows."""


class Stop(Enum):
    """Why a generator stopped."""

    COMPLETE = "complete"
    LENGTH = "length"
    """`max_output_tokens` was reached."""
    NOT_GROUNDED = "not_grounded"
    """The sources do not hold an answer; what was written says so."""


@dataclass(frozen=True, slots=True)
class Written:
    """The last that comes from a generator: why it stopped, and its tokens, 0 where it counts none.

    `read` are the numbers of the sources that it had before it, from 1, where those were not all.
    """

    stop: Stop
    input_tokens: int = 0
    output_tokens: int = 0
    read: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence that a judge shall weigh against passages.

    `question` is what it answers, `language` an ISO 639-1 code; both are "" where nobody knows.
    """

    text: str
    contexts: Sequence[str]
    question: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Support:
    """How far passages support a sentence: 0 to 1, and the place of the best one, from 0."""

    value: float
    context: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of an answer: where it stands, the numbers of the sources it cites, how far they support it.

    `span` is in code points of the answer's text, citations included.
    """

    span: TextSpan
    sources: tuple[int, ...]
    support: float


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """What to answer: `query.text` is the question, and its hits are the sources.

    An empty `generator` is the server's default.
    """

    query: Query
    generator: str = ""
    max_output_tokens: int = 0
    temperature: float = 0.0
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, whole. Where it is not `grounded` its text says so and no claim cites anything.

    `found` is what was retrieved, with the parts of the hits that were asked for: source n is its n-th hit.
    """

    text: str
    grounded: bool
    claims: tuple[Claim, ...]
    found: QueryResult
    generator: str
    stop: Stop
    input_tokens: int = 0
    output_tokens: int = 0

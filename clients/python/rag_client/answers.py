"""What answering gives, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rag_client.queries import Hit


@dataclass(frozen=True, slots=True)
class Sources:
    """What an answer may draw on: citation number n is the n-th hit, from 1."""

    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of an answer: where it stands, which sources it cites, and how far they support it, 0 to 1.

    `start` and `end` are offsets in the answer's text, in code points.
    """

    start: int
    end: int
    sources: tuple[int, ...]
    support: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its sources. Where it is not `grounded`, `text` says so and cites nothing.

    `finish_reason` is stop, length or not_grounded. Tokens are 0 where the generator counts none.
    """

    text: str
    grounded: bool
    claims: tuple[Claim, ...]
    sources: tuple[Hit, ...]
    generator: str
    finish_reason: str
    input_tokens: int
    output_tokens: int


AnswerEvent: TypeAlias = Sources | str | Answer
"""What a stream gives: first the sources, then text as it is written, last the whole answer, which holds."""

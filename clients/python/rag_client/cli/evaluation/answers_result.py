"""What an evaluation of answers came to, as `--json` prints it and the page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rag_client.evaluation import SentenceSupport


@dataclass(frozen=True, slots=True)
class Weighed:
    """One answer, what it should rest on, and how far it does."""

    name: str
    question: str
    answer: str
    contexts: tuple[str, ...]
    faithfulness: float
    sentences: tuple[SentenceSupport, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole run. `unanswered` are the questions for which the server found no answer."""

    time: str
    judge: str
    scores: Mapping[str, float]
    answers: tuple[Weighed, ...]
    unanswered: tuple[str, ...] = ()
    kind: str = "answers"
    format: int = 1


def percentile(rising: Sequence[float], percent: int) -> float:
    """Return the value that so many of 100 do not reach, by nearest rank; 0 where there are none."""
    return rising[min(len(rising) - 1, len(rising) * percent // 100)] if rising else 0.0

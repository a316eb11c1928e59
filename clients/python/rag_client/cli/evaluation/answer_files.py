"""Answers to be weighed, and questions to be answered first, from JSON lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag_client.cli.evaluation.judged_sets import FileFormatError, objects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANSWERS = ("answer", "response")
CONTEXTS = ("contexts", "context")


@dataclass(frozen=True, slots=True)
class Given:
    """One line: an answer with its contexts, or a question without an answer."""

    name: str
    question: str
    answer: str
    contexts: tuple[str, ...]


def read_answers(path: Path) -> list[Given]:
    """Read a file. Raises FileFormatError that names the line that is wrong."""
    return list(_answers(path))


def _answers(path: Path) -> Iterator[Given]:
    for number, given in objects(path):
        question = given.get("question", given.get("query", given.get("text", "")))
        answer = next((given[key] for key in ANSWERS if given.get(key)), "")
        contexts = next((given[key] for key in CONTEXTS if given.get(key)), ())
        texts = (contexts,) if isinstance(contexts, str) else tuple(contexts)
        if not all(isinstance(each, str) for each in (question, answer, *texts)):
            raise FileFormatError(f"{path}:{number}: question, answer and contexts are texts")
        if answer and not texts:
            raise FileFormatError(f"{path}:{number}: an answer has contexts; only a question has none")
        if not (answer or question):
            raise FileFormatError(f"{path}:{number}: there is neither an answer nor a question")
        yield Given(_name(given, number), question, answer, texts)


def _name(given: dict[str, Any], number: int) -> str:
    return str(next((given[key] for key in ("id", "_id", "query_id") if given.get(key)), number))

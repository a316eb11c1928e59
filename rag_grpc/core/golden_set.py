"""The canary's questions: what is asked at each run, and what should be found.

One JSON object a line, so that a file of them can be written by any program, sorted,
cut and compared line by line:

    {"query": "how long is a graph saved?", "relevance": {"operations.md": 1}}
    {"collection": "docs", "query": "...", "relevance": {"a": 2, "b": 1}, "answer": "..."}

Read whole and strictly: a line that is wrong would otherwise be missing from the means,
which would then be of other questions than those that were meant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rag_grpc.core.models import DEFAULT_COLLECTION

MAX_QUESTIONS = 10_000
"""One question at a time, and beside users only some a second: more would not end before the next run."""
MAX_TEXT = 10_000
"""Characters of a query, as everywhere, and of an answer."""
MAX_GRADE = 2**32 - 1
"""As in the contract's LabelledQuery."""
FAULTS_TOLD = 50
"""A file of another kind is wrong in each line; so many are told, then how many more there are."""

_KEYS = ("collection", "query", "relevance", "answer")


@dataclass(frozen=True, slots=True)
class Question:
    """A query and what it should find: grades by doc_id, 0 for not relevant, one of them at least more.

    `answer` is what is known to be true, "" where nothing was said.
    """

    collection: str
    query: str
    relevance: Mapping[str, int]
    answer: str = ""


class GoldenSetFault(Exception):
    """A golden set cannot be used. `faults` names every line at fault and what is wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def parse(text: str) -> tuple[Question, ...]:
    """Read a golden set; empty lines are skipped. Raises GoldenSetFault with every fault and its line."""
    questions: dict[tuple[str, str], Question] = {}
    lines: dict[tuple[str, str], int] = {}
    faults: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            question = _question(line)
        except ValueError as error:
            faults.append(f"line {number}: {error}")
            continue
        key = question.collection, question.query
        if key in questions:
            faults.append(f"line {number}: asks what line {lines[key]} asks")
        questions[key], lines[key] = question, number
    if not questions and not faults:
        faults.append("has no question")
    if len(questions) > MAX_QUESTIONS:
        faults.append(f"has {len(questions)} questions, {MAX_QUESTIONS} are the most")
    if faults:
        more = len(faults) - FAULTS_TOLD
        raise GoldenSetFault(faults[:FAULTS_TOLD] + ([f"and {more} more lines"] if more > 0 else []))
    return tuple(questions.values())


def _question(line: str) -> Question:
    """Read one line. Raises ValueError with all that is wrong with it."""
    try:
        read = json.loads(line, object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg} at character {error.pos + 1}") from error
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(read, dict):
        raise ValueError("is no JSON object")  # noqa: TRY004 # its caller tells faults of the line
    faults = list(_faults(read))
    if faults:
        raise ValueError("; ".join(faults))
    return Question(
        read.get("collection", DEFAULT_COLLECTION), read["query"], read["relevance"], read.get("answer", "")
    )


def _faults(read: Mapping[str, Any]) -> Iterator[str]:
    for key in read:
        if key not in _KEYS:
            yield f"there is no key {key!r}; there is {', '.join(_KEYS)}"
    for key in ("collection", "query", "answer"):
        if key not in read:
            if key == "query":
                yield "query is missing"
        elif not isinstance(read[key], str) or not read[key].strip():
            yield f"{key} is no text, or an empty one"
        elif len(read[key]) > MAX_TEXT:
            yield f"{key} has {len(read[key])} characters, {MAX_TEXT} are the most"
    if "relevance" not in read:
        yield "relevance is missing"
    else:
        yield from _faults_of_relevance(read["relevance"])


def _faults_of_relevance(relevance: Any) -> Iterator[str]:
    if not isinstance(relevance, dict):
        yield "relevance is no object of grades by doc_id"
        return
    wrong = [doc_id for doc_id, grade in relevance.items() if not _is_grade(grade)]
    if wrong:
        yield f"the grade of {wrong[0]!r} is no whole number from 0 to {MAX_GRADE}"
    elif not any(relevance.values()):
        yield "relevance names no document with a grade of 1 or more"


def _is_grade(grade: Any) -> bool:
    return isinstance(grade, int) and not isinstance(grade, bool) and 0 <= grade <= MAX_GRADE


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"has {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return read


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")

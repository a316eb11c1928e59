"""Answers of which people have said whether what they were given supports them.

BEGIN: answers of dialogue models, each with the passage that it was to rest on. SciFact:
claims, each with sentences of an abstract that support or contradict it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Labelled:
    """An answer, its contexts, and whether they support it. `chosen_on`: parameters were chosen on it."""

    part: str
    answer: str
    contexts: tuple[str, ...]
    question: str
    supported: bool
    chosen_on: bool = False


def begin(folder: Path) -> list[Labelled]:
    """Read BEGIN. Halves are by a hash of the id, so that they are the same everywhere."""
    return [
        Labelled(
            part=each["dataset"].removeprefix("begin_"),
            answer=each["response"],
            contexts=(each["context"],),
            question=each["question"],
            supported=each["label"] == 1,
            chosen_on=hashlib.sha256(each["id"].encode()).digest()[0] % 2 == 0,
        )
        for each in _rows(folder / "faithfulness.jsonl.gz")
    ]


def scifact(folder: Path) -> list[Labelled]:
    """Read SciFact's claims with their evidence; not supported means contradicted."""
    return [
        Labelled(
            part=each["split"],
            answer=each["claim"],
            contexts=(each["evidence_text"],),
            question="",
            supported=each["label"] == "SUPPORT",
        )
        for each in _rows(folder / "claim_verification.jsonl.gz")
    ]


def among_foreign(answers: Sequence[Labelled], count: int) -> list[Labelled]:
    """Put contexts of other answers around each one's own, in any order, as retrieval would."""
    draw = random.Random(count)
    crowded = []
    for each in answers:
        contexts = [*each.contexts, *(draw.choice(answers).contexts[0] for _ in range(count))]
        draw.shuffle(contexts)
        crowded.append(replace(each, contexts=tuple(contexts)))
    return crowded


def with_foreign_evidence(answers: Sequence[Labelled]) -> list[Labelled]:
    """Take supported answers as they are, and each once more with another one's context."""
    draw = random.Random(1)
    good = [each for each in answers if each.supported]
    others = [
        replace(each, contexts=draw.choice([one for one in good if one.answer != each.answer]).contexts)
        for each in good
    ]
    return good + [replace(each, supported=False) for each in others]


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    # Lines end at "\n" alone: texts hold other characters at which Python would break them.
    with gzip.open(file, "rt", encoding="utf-8", newline="\n") as lines:
        yield from map(json.loads, lines)

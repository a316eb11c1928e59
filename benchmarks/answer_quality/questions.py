"""SQuAD's questions in two halves that share no article, and questions of other worlds.

What is fitted or chosen is fitted on one half, and figures are reported from the other.
"""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.retrieval_quality.data_sets import DataSet, load

SEED = 0
REPORTED = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the texts that are answers to it, and the document that holds them; "" where none does."""

    text: str
    answers: tuple[str, ...] = ()
    document: str = ""

    def answered_by(self, text: str) -> bool:
        """Tell whether an answer stands in `text`."""
        return any(each in text for each in self.answers)


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked: of the half that is fitted to, of the half that is reported on, and from elsewhere."""

    squad: DataSet
    fitted: tuple[Asked, ...]
    reported: tuple[Asked, ...]
    foreign_fitted: tuple[Asked, ...]
    foreign_reported: tuple[Asked, ...]


def questions(data: Path, *, fitted: int = 5000) -> Questions:
    """Read them; each document's id is in its metadata too, so that it can be left out of a search."""
    squad = load(data / "squad_v1_dev")
    squad = replace(
        squad, documents=tuple(replace(each, metadata={"id": each.doc_id}) for each in squad.documents)
    )
    asked = _asked(data / "squad_v1_dev", squad)
    articles = sorted({_article(each) for each in asked})
    random.Random(SEED).shuffle(articles)
    half = frozenset(articles[: len(articles) // 2])
    ours = [each for each in asked if _article(each) in half]
    others = [each for each in asked if _article(each) not in half]
    chosen = random.Random(SEED + 1)
    foreign = [load(data / "scifact"), load(data / "anthropic_docs")]
    return Questions(
        squad=squad,
        fitted=tuple(chosen.sample(ours, min(fitted, len(ours)))),
        reported=tuple(chosen.sample(others, REPORTED)),
        foreign_fitted=tuple(map(Asked, load(data / "scifact", split="_train").queries.values())),
        foreign_reported=tuple(Asked(text) for each in foreign for text in each.queries.values()),
    )


def _article(asked: Asked) -> str:
    return asked.document.partition("#")[0]


def _asked(folder: Path, squad: DataSet) -> list[Asked]:
    with gzip.open(folder / "queries.jsonl.gz", "rt", encoding="utf-8", newline="\n") as lines:
        answers = {each["query_id"]: tuple(each["answers"]) for each in map(json.loads, lines)}
    return [
        Asked(text, answers[each], next(iter(squad.judgements[each])))
        for each, text in sorted(squad.queries.items())
    ]

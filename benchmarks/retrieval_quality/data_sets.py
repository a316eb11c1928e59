"""Collections of texts with questions, and which texts answer them, in the form of BEIR.

They are no part of the project: each folder's SOURCE.md says where it is from.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rag_client.models import Chunk, Document

Judgements = dict[str, dict[str, int]]
"""Query -> document -> how relevant it is."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A corpus and what is asked of it. `queries` maps ids to texts, and holds judged ones alone."""

    name: str
    documents: tuple[Document, ...]
    queries: dict[str, str]
    judgements: Judgements

    def whole(self) -> DataSet:
        """Make each text one chunk."""
        documents = tuple(replace(each, chunks=(Chunk(each.text),)) for each in self.documents)
        return replace(self, documents=documents)

    def sample(self, count: int, *, seed: int = 0) -> DataSet:
        """Keep some of the questions, drawn by a seed."""
        chosen = random.Random(seed).sample(sorted(self.queries), min(count, len(self.queries)))
        return replace(
            self,
            queries={each: self.queries[each] for each in chosen},
            judgements={each: self.judgements[each] for each in chosen},
        )


def load(folder: Path, *, split: str = "") -> DataSet:
    """Read a collection; `split` is "_train" where other questions are wanted."""
    documents = tuple(
        Document(doc_id=each["doc_id"], title=each["title"], text=each["text"])
        for each in map(json.loads, _lines(folder / "corpus.jsonl.gz"))
    )
    judgements: Judgements = {}
    labels = _lines(folder / f"qrels{split}.tsv.gz")
    next(labels)  # what the columns are
    for line in labels:
        query, document, relevance = line.rstrip("\n").split("\t")
        judgements.setdefault(query, {})[document] = int(relevance)
    queries = {
        each["query_id"]: each["text"]
        for each in map(json.loads, _lines(folder / f"queries{split}.jsonl.gz"))
        if each["query_id"] in judgements
    }
    return DataSet(folder.name, documents, queries, {each: judgements[each] for each in queries})


def _lines(file: Path) -> Iterator[str]:
    # Lines end at "\n" alone: texts hold other characters at which Python would break them.
    with gzip.open(file, "rt", encoding="utf-8", newline="\n") as lines:
        yield from lines

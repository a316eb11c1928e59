"""Dense recall of an embedder alone: exact cosine search, no index, no server.

    python benchmarks/embedder_recall.py [--data ../shared/data] [--test]

The figures that the mock embedder's weights were chosen by. SQuAD's questions are
parted by a seed: 2,500 to choose by, and, with --test, 1,000 others to report.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rag_grpc.core.chunking import embedding_text
from rag_grpc.embedders.mock import MockEmbedder

TEST_SEED, TEST_QUESTIONS = 0, 1000
DEVELOPMENT_SEED, DEVELOPMENT_QUESTIONS = 1, 2500
DEPTH = 5


@dataclass(frozen=True, slots=True)
class Task:
    """Passages, questions, and which passages answer each question."""

    passages: list[str]
    questions: list[str]
    relevant: list[set[int]]

    def only(self, chosen: list[int]) -> Task:
        """Keep some of the questions."""
        return Task(self.passages, [self.questions[i] for i in chosen], [self.relevant[i] for i in chosen])


def load(folder: Path, suffix: str = "") -> Task:
    """Read a collection in BEIR's form; `suffix` chooses other questions of it."""

    def lines(name: str) -> Iterator[str]:
        with gzip.open(folder / name, "rt", encoding="utf-8", newline="\n") as file:
            yield from file

    corpus = [json.loads(line) for line in lines("corpus.jsonl.gz")]
    place = {document["doc_id"]: index for index, document in enumerate(corpus)}
    relevant: dict[str, set[int]] = defaultdict(set)
    for line in list(lines(f"qrels{suffix}.tsv.gz"))[1:]:
        query_id, doc_id, relevance = line.split("\t")
        if int(relevance) > 0:
            relevant[query_id].add(place[doc_id])
    queries = [json.loads(line) for line in lines(f"queries{suffix}.jsonl.gz")]
    queries = [query for query in queries if query["query_id"] in relevant]
    return Task(
        [embedding_text(each["title"], (), each["text"], False) for each in corpus],
        [query["text"] for query in queries],
        [relevant[query["query_id"]] for query in queries],
    )


def squad(folder: Path, *, test: bool) -> Task:
    """SQuAD's questions for choosing, or the 1,000 others for reporting."""
    task = load(folder)
    everything = range(len(task.questions))
    chosen = random.Random(TEST_SEED).sample(everything, TEST_QUESTIONS)
    if not test:
        held_out = set(chosen)
        rest = [index for index in everything if index not in held_out]
        chosen = random.Random(DEVELOPMENT_SEED).sample(rest, DEVELOPMENT_QUESTIONS)
    return task.only(sorted(chosen))


def recall(embedder: MockEmbedder, task: Task) -> tuple[float, float]:
    """Mean share of a question's passages among the first DEPTH, and passages embedded per second."""
    began = time.perf_counter()
    passages = np.vstack(
        [
            embedder.embed(task.passages[start : start + embedder.max_batch])
            for start in range(0, len(task.passages), embedder.max_batch)
        ]
    )
    rate = len(task.passages) / (time.perf_counter() - began)
    scores = embedder.embed(task.questions) @ passages.T
    found = np.argpartition(-scores, DEPTH, axis=1)[:, :DEPTH]
    shares = [
        len(set(row) & wanted) / len(wanted)
        for row, wanted in zip(found.tolist(), task.relevant, strict=True)
    ]
    return float(np.mean(shares)), rate


def main() -> None:
    """Print a line a collection."""
    parser = argparse.ArgumentParser(description="Dense recall@5 of the mock embedder, exact search.")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--test", action="store_true", help="also the 1,000 test questions of SQuAD")
    arguments = parser.parse_args()
    data: Path = arguments.data
    tasks = {
        "squad (development)": squad(data / "squad_v1_dev", test=False),
        "scifact (train claims)": load(data / "scifact", "_train"),
        "anthropic_docs": load(data / "anthropic_docs"),
        **{f"xquad {name}": load(data / "xquad" / name) for name in ("en", "de", "ru", "ar", "hi", "zh")},
    }
    if arguments.test:
        tasks["squad (test)"] = squad(data / "squad_v1_dev", test=True)
    embedder = MockEmbedder()
    embedder.embed(["warm up"])
    print(f"{embedder.fingerprint}: recall@{DEPTH}")
    for name, task in tasks.items():
        value, rate = recall(embedder, task)
        print(f"{name:24} {value:.3f}   {len(task.passages):5} passages, {rate:6.0f}/s")


if __name__ == "__main__":
    main()

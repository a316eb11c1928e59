"""What words and variety cost: `python -m benchmarks.modes`, as ratios to a dense query.

Through the service, one query at a time, the kinds taking turns, the median of many.
Texts are 40 words drawn by Zipf's law from 30,000, so that a query of six words meets
common and rare ones, as in language; the vectors are those of `make bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child_server import child_server
from benchmarks.vectors import Rows, clustered
from rag_client import Chunk, Document, QueryFields, RagClient, Rerank

WORDS, TEXT_WORDS, QUERY_WORDS = 30_000, 40, 6
QUERIES = 300


class Texts:
    """Draws words by Zipf's law."""

    def __init__(self, seed: int) -> None:
        shares = 1 / np.arange(1, WORDS + 1)
        self._shares = shares / shares.sum()
        self._random = np.random.default_rng(seed)

    def draw(self, count: int, words: int) -> list[str]:
        """Return `count` texts of so many words."""
        drawn = self._random.choice(WORDS, (count, words), p=self._shares)
        return [" ".join(f"w{number}" for number in row) for row in drawn.tolist()]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="documents in the collection")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    count = arguments.count
    vectors = clustered(count)
    with child_server() as server, RagClient(server.grpc, timeout=60) as client:
        began = time.perf_counter()
        _fill(client, vectors.base)
        print(f"{count / (time.perf_counter() - began):,.0f} documents a second went in, by this client")
        while server.metric("rag_tail_chunks"):
            time.sleep(0.5)
        figures = _measure(client, vectors.queries)
    if arguments.json:
        arguments.json.write_text(json.dumps({"processors": os.cpu_count(), "ratios": figures}, indent=1))


def _fill(client: RagClient, base: Rows) -> None:
    client.create_collection("rows", embedder="none", dimension=base.shape[1])
    texts = Texts(1).draw(len(base), TEXT_WORDS)
    documents: Iterator[Document] = (
        Document(str(row), chunks=[Chunk(texts[row], vector=vector)]) for row, vector in enumerate(base)
    )
    for result in client.ingest_stream(documents, collection="rows"):
        if result.error:
            raise result.error


def _measure(client: RagClient, queries: Rows) -> dict[str, float]:
    texts = Texts(2).draw(QUERIES, QUERY_WORDS)
    kinds: dict[str, dict[str, Any]] = {
        "dense": {"mode": "dense"},
        "lexical": {"mode": "lexical"},
        "hybrid": {"mode": "hybrid"},
        "dense, MMR of 40": {"mode": "dense", "rerank": Rerank("mmr", candidates=40)},
    }
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for text, vector in zip(texts, queries, strict=False):
        for kind, options in kinds.items():
            by_words, by_meaning = kind != "dense" and "MMR" not in kind, kind != "lexical"
            fields: QueryFields = {"collection": "rows", "omit": ["metadata"], **options}  # type: ignore[typeddict-item]  # of the table above
            if by_meaning:
                fields["vector"] = vector
            began = time.perf_counter()
            client.query(text if by_words else "", **{k: v for k, v in fields.items() if k != "query"})  # type: ignore[arg-type]  # likewise
            taken[kind].append(time.perf_counter() - began)
    plain = statistics.median(taken["dense"])
    for kind, seconds in taken.items():
        median = statistics.median(seconds)
        print(f"{kind:18} {median * 1e3:6.2f} ms  {median / plain:5.2f} x dense")
    return {kind: statistics.median(seconds) / plain for kind, seconds in taken.items()}


if __name__ == "__main__":
    main()

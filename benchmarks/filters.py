"""What a filter costs: `python -m benchmarks.filters`, as ratios to an unfiltered dense query.

Through the service, one query at a time, the median of many. A filter beside the
query passes a random share of the documents; one against it passes those that lie
farthest from it, so that the graph's list is of no use and what passes is compared
after all. The bound between comparing and the graph, `filtered_search.GRAPH_ROWS`, is an
estimate: a share at which a filter costs far more than at its neighbours would show it wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.child_server import child_server
from benchmarks.vectors import Rows, clustered
from rag_client import Chunk, Document, Field, RagClient

SHARES = (0.001, 0.01, 0.05, 0.2, 0.5, 0.9)
QUERIES = 200
NUMBER, FAR = Field("number"), Field("far")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="vectors in the collection")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    count = arguments.count
    vectors = clustered(count)
    with child_server() as server, RagClient(server.grpc, timeout=60) as client:
        _fill(client, vectors.base, vectors.queries[0])
        while server.metric("rag_tail_chunks"):
            time.sleep(0.5)
        figures = _measure(client, count, vectors.queries)
    if arguments.json:
        arguments.json.write_text(json.dumps({"processors": os.cpu_count(), "ratios": figures}, indent=1))


def _fill(client: RagClient, base: Rows, centre: Rows) -> None:
    client.create_collection("rows", embedder="none", dimension=base.shape[1])
    numbers = np.random.default_rng(1).permutation(len(base)).tolist()
    far = np.empty(len(base), np.int64)
    far[np.argsort(base @ centre)] = np.arange(len(base))
    documents: Iterator[Document] = (
        Document(
            str(row),
            metadata={"number": numbers[row], "far": int(far[row]), "lang": ("en", "de")[row % 2]},
            chunks=[Chunk("row", vector=vector)],
        )
        for row, vector in enumerate(base)
    )
    for result in client.ingest_stream(documents, collection="rows"):
        if result.error:
            raise result.error


def _measure(client: RagClient, count: int, queries: Rows) -> dict[str, float]:
    plain = _median(client, queries[:QUERIES])
    scan = _median(client, queries[:20], exact=True)
    print(f"unfiltered {plain * 1e3:.2f} ms, every vector compared {scan * 1e3:.2f} ms")
    figures = {"seconds unfiltered": plain, "seconds of a full scan": scan}
    for share in SHARES:
        bound = round(share * count)
        beside = _median(client, queries[:QUERIES], bound > NUMBER)
        against = _median(client, [queries[0]] * 20, bound > FAR)
        figures[f"{share:.1%} beside the query, to unfiltered"] = beside / plain
        figures[f"{share:.1%} against the query, to a full scan"] = against / scan
        print(
            f"{share:7.1%} pass: beside the query {beside / plain:5.2f} x unfiltered,"
            f" against it {against / scan:5.2f} x a full scan"
        )
    both = _median(client, queries[:QUERIES], (Field("lang") == "en") & (count // 2 > NUMBER))
    print(f"two conditions: {both / plain:.2f} x unfiltered")
    return {**figures, "two conditions, to unfiltered": both / plain}


def _median(client: RagClient, queries: Iterable[Rows], condition: str = "", *, exact: bool = False) -> float:
    taken = []
    for place, query in enumerate(queries):
        began = time.perf_counter()
        client.query(
            "", vector=query, collection="rows", filter=condition, exact=exact, omit=["text", "metadata"]
        )
        if place:  # the first one sorts the column and fills the caches
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    main()

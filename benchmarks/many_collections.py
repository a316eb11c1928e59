"""What many small collections cost: `python -m benchmarks.many_collections`.

For 10, 100 and 1,000 collections of 100 documents each: the server's own memory, its
threads and descriptors, a write to each collection in turn, one query by words to each,
what the server uses when nobody asks, how long a stop and the next start take. All
divided by the number of collections, less what a server with none takes: a figure that
grows from line to line grows faster than the number.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.child_server import Addresses, child_server
from benchmarks.process_facts import MIB, ProcessFacts, look_at
from benchmarks.vectors import Rows
from rag_client import Chunk, Document, RagClient

COUNTS = (10, 100, 1000)
DOCUMENTS = 100
DIMENSION = 384
SETTLE_SECONDS = 5
REST_SECONDS = 35
"""After half a minute without a use the server closes what it holds open of indexes and writers of words."""
IDLE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Costs:
    """What so many collections cost. Seconds, MiB and numbers; idle is a share of one core."""

    collections: int
    fill: float
    memory_filled: float
    threads_filled: int
    descriptors_filled: int
    start: float
    memory_started: float
    threads_started: int
    descriptors_started: int
    idle_started: float
    write_median: float
    write_p99: float
    memory_written: float
    threads_written: int
    descriptors_written: int
    query_median: float
    idle_written: float
    idle_rested: float
    stop: float


def measure(count: int, idle: float) -> Costs:
    """Fill `count` collections, start again over them, write to each and ask each."""
    vectors = _vectors()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"RAG_DATA_DIR": f"{folder}/data"}
        fill, filled = _filled(count, settings, vectors)
        began = time.perf_counter()
        with ExitStack() as stack:
            server = stack.enter_context(child_server(**settings))
            start = time.perf_counter() - began
            started, idle_started = _rested(server, idle)
            with RagClient(server.grpc, timeout=60) as client:
                writes = sorted(_written(client, count, vectors))
                written = look_at(server.pid)
                queries = [_asked(client, number) for number in range(count)]
            _, idle_written = _rested(server, idle)
            _, idle_rested = _rested(server, idle, settle=REST_SECONDS - SETTLE_SECONDS - idle)
            began = time.perf_counter()
        stop = time.perf_counter() - began
    return Costs(
        collections=count,
        fill=fill,
        memory_filled=filled.anonymous / MIB,
        threads_filled=filled.threads,
        descriptors_filled=filled.descriptors,
        start=start,
        memory_started=started.anonymous / MIB,
        threads_started=started.threads,
        descriptors_started=started.descriptors,
        idle_started=idle_started,
        write_median=statistics.median(writes) if writes else 0.0,
        write_p99=writes[int(len(writes) * 0.99)] if writes else 0.0,
        memory_written=written.anonymous / MIB,
        threads_written=written.threads,
        descriptors_written=written.descriptors,
        query_median=statistics.median(queries) if queries else 0.0,
        idle_written=idle_written,
        idle_rested=idle_rested,
        stop=stop,
    )


def _filled(count: int, settings: dict[str, str], vectors: Rows) -> tuple[float, ProcessFacts]:
    """Fill the collections, say in how many seconds, and look at the server."""
    with child_server(**settings) as server, RagClient(server.grpc, timeout=60) as client:
        began = time.perf_counter()
        for number in range(count):
            _fill(client, number, vectors)
        return time.perf_counter() - began, look_at(server.pid)


def _vectors() -> Rows:
    vectors: Rows = np.random.default_rng(0).normal(size=(DOCUMENTS + 1, DIMENSION)).astype(np.float32)
    return vectors


def _document(number: int, row: int, vector: Rows) -> Document:
    text = f"document {row} of collection {number} " + "lorem ipsum dolor sit amet " * 10
    metadata = {"number": row, "lang": "en", "source": f"file-{row % 10}.txt"}
    return Document(f"doc-{row}", metadata=metadata, chunks=[Chunk(text[:270], vector=vector)])


def _fill(client: RagClient, number: int, vectors: Rows) -> None:
    client.create_collection(f"many-{number}", embedder="none", dimension=DIMENSION)
    documents = [_document(number, row, vectors[row]) for row in range(DOCUMENTS)]
    for result in client.ingest_documents(documents, collection=f"many-{number}"):
        if result.error:
            raise result.error


def _written(client: RagClient, count: int, vectors: Rows) -> Iterator[float]:
    """Write one more document to each in turn, one at a time."""
    for number in range(count):
        document = _document(number, DOCUMENTS, vectors[DOCUMENTS])
        began = time.perf_counter()
        client.ingest_document(document, collection=f"many-{number}")
        yield time.perf_counter() - began


def _asked(client: RagClient, number: int) -> float:
    began = time.perf_counter()
    hits = client.query(f"document {DOCUMENTS}", collection=f"many-{number}", mode="lexical").hits
    if f"doc-{DOCUMENTS}" not in [hit.doc_id for hit in hits]:
        raise RuntimeError(f"collection {number} does not find what was written")
    return time.perf_counter() - began


def _rested(server: Addresses, idle: float, *, settle: float = SETTLE_SECONDS) -> tuple[ProcessFacts, float]:
    """Look at a server that nobody asks anything, and say which share of a core it takes."""
    time.sleep(max(0.0, settle))
    before, began = look_at(server.pid), time.perf_counter()
    time.sleep(idle)
    after = look_at(server.pid)
    return after, (after.processor_seconds - before.processor_seconds) / (time.perf_counter() - began)


def show(none: Costs, some: list[Costs]) -> None:
    """Print each figure, and for what may grow, the part of one collection."""
    everything = [none, *some]
    print(f"{'collections':22}" + "".join(f"{each.collections:>24,}" for each in everything))
    for name in asdict(none):
        if name == "collections":
            continue
        cells = []
        for each in everything:
            value = float(getattr(each, name))
            part = (value - float(getattr(none, name))) / max(1, each.collections)
            cells.append(f"{value:13.4f} {part:10.5f}" if each.collections else f"{value:13.4f} {'each':>10}")
        print(f"{name:22}" + "".join(cells))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="numbers of collections")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--idle", type=float, default=IDLE_SECONDS, help="seconds to look at an idle server")
    arguments = parser.parse_args()
    results = [measure(count, arguments.idle) for count in (0, *arguments.counts)]
    show(results[0], results[1:])
    if arguments.json:
        rows = [asdict(each) for each in results]
        arguments.json.write_text(json.dumps({"processors": os.cpu_count(), "costs": rows}, indent=1))


if __name__ == "__main__":
    main()

"""What grows with a collection, and how fast: `python -m benchmarks.growth`.

One collection is filled to each size in turn, by a real server that is killed when
the last document is answered, started again, stopped in order and started again. Its
folder is kept as it is then, and in the end a server for each size answers the same
queries by turns, so that what the machine does meanwhile meets them all alike.

Goals are those of a million chunks: the median query at most 3 times that of 10,000;
the server's own memory at most 1.35 times the graph's; a start after a clean stop at
most 2 times the bare reading of the files, plus 3 seconds; 15 more after a kill.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import hnswlib

from benchmarks import raw_frames
from benchmarks.growth_data import (
    BATCH_DOCUMENTS,
    DIMENSION,
    GrowingCollection,
    read_messages,
    write_messages,
)
from benchmarks.growth_rows import Row, as_json, draw, show
from benchmarks.growth_server import KeptServer, MemoryWatch
from benchmarks.load import in_another_process
from ragapi.v1 import (
    collection_service_pb2,
    collection_service_pb2_grpc,
    ingestion_service_pb2,
    ingestion_service_pb2_grpc,
    retrieval_service_pb2,
    types_pb2,
)

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
ROUNDS, QUERIES, RECALL_QUERIES, K = 5, 400, 100, 10
QUERY = "/ragapi.v1.RetrievalService/Query"
BLOCK_BYTES = 1 << 20


def main() -> None:
    """Measure, print a table, and write JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help=f"multiples of {BATCH_DOCUMENTS}")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--plots", type=Path, help="draw what grows into this folder")
    parser.add_argument("--folder", type=Path, help="keep the data here, and the figures, for --only-latency")
    parser.add_argument("--only-latency", action="store_true", help="with the data of an earlier --folder")
    arguments = parser.parse_args()
    if arguments.plots:
        # Found missing now, and not after an hour.
        importlib.import_module("benchmarks.plots")
    with ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        figures = folder / "figures.json"
        if arguments.only_latency:
            rows = [Row.of(each) for each in json.loads(figures.read_text())["rows"]]
        else:
            rows = list(_grow(folder, sorted(arguments.sizes)))
        _ask_in_turns(folder, rows)
        written = as_json(rows)
        for file in (figures, arguments.json):
            if file:
                file.write_text(written)
    show(rows)
    if arguments.plots:
        draw(rows, arguments.plots)


# -- growing


def _grow(folder: Path, sizes: Sequence[int]) -> Iterator[Row]:
    growing, messages = folder / "growing", folder / "messages"
    shutil.rmtree(growing, ignore_errors=True)
    server = KeptServer(growing)
    _create(server)
    before = 0
    for size in sizes:
        in_another_process(write_messages, messages, before, size)
        row = Row(size)
        _fill(server, messages, row, size - before)
        server = _start_again(server, growing, row)
        print(
            f"{size:9,} chunks: {row.ingest_rate:6,.0f} /s, {row.memory_ratio:.2f}, started in"
            f" {row.clean_start_seconds:.1f} s, {row.killed_start_seconds:.1f} s after a kill",
            flush=True,
        )
        yield row
        before = size
    server.stop()
    messages.unlink()


def _create(server: KeptServer) -> None:
    with grpc.insecure_channel(server.addresses.grpc) as channel:
        collection_service_pb2_grpc.CollectionServiceStub(channel).CreateCollection(
            collection_service_pb2.CreateCollectionRequest(
                collection=collection_service_pb2.Collection(
                    name="bench", embedder="none", dimension=DIMENSION
                )
            )
        )


def _fill(server: KeptServer, messages: Path, row: Row, documents: int) -> None:
    watch = MemoryWatch(server)
    watch.start()
    used = server.processor_seconds()
    seconds, created = in_another_process(stream_file, server.addresses.grpc, messages)
    row.most_while_ingesting = watch.finish()
    row.after_ingest = server.memory()
    if created != documents:
        raise RuntimeError(f"{created} of {documents} documents were taken in")
    row.ingest_rate = documents / seconds
    row.ingest_processor_seconds = (server.processor_seconds() - used) / documents


def stream_file(address: str, messages: Path) -> tuple[float, int]:
    """Send a file of messages as one stream; return seconds until all were answered, and what was made."""
    created = 0
    with grpc.insecure_channel(address) as channel:
        stub = ingestion_service_pb2_grpc.IngestionServiceStub(channel)
        requests = (
            ingestion_service_pb2.StreamIngestDocumentsRequest.FromString(each)
            for each in read_messages(messages)
        )
        began = time.perf_counter()
        for response in stub.StreamIngestDocuments(requests):
            created += sum(
                each.status == ingestion_service_pb2.INGEST_STATUS_CREATED for each in response.results
            )
        return time.perf_counter() - began, created


def _start_again(server: KeptServer, growing: Path, row: Row) -> KeptServer:
    """Kill it and start it, stop it and start it; keep the folder as it was in between."""
    server.kill()
    _read_all(growing)
    server = KeptServer(growing)
    row.killed_start_seconds = server.start_seconds
    used = server.events("snapshot_used")
    row.killed_behind = used[-1]["tail"] if used else row.chunks
    began = time.perf_counter()
    server.stop()
    row.stop_seconds = time.perf_counter() - began
    kept = growing.with_name(f"size-{row.chunks}")
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(growing, kept)
    _read_all(growing)
    row.reading = in_another_process(read_barely, growing)
    server = KeptServer(growing)
    row.clean_start_seconds = server.start_seconds
    row.after_start = server.memory()
    return server


def _read_all(folder: Path) -> int:
    size = 0
    for file in folder.rglob("*"):
        if file.is_file():
            size += _read(file)
    return size


def _read(file: Path) -> int:
    size = 0
    with file.open("rb", buffering=0) as opened:
        while block := opened.read(BLOCK_BYTES):
            size += len(block)
    return size


def read_barely(folder: Path) -> dict[str, float]:
    """Time what a start cannot do without: hnswlib's reading of the graph, and the other files' bytes."""
    seconds = {}
    began = time.perf_counter()
    for graph in folder.rglob("graph.bin"):
        hnswlib.Index(space="ip", dim=DIMENSION).load_index(str(graph))
    seconds["graph"] = time.perf_counter() - began
    for name, pattern in (("words", "data/indexes/*/lexical-*/*"), ("database", "data/rag.sqlite3*")):
        began = time.perf_counter()
        for file in folder.glob(pattern):
            _read(file)
        seconds[name] = time.perf_counter() - began
    return seconds


# -- asking


def _ask_in_turns(folder: Path, rows: list[Row]) -> None:
    queries = GrowingCollection().queries(QUERIES)
    requests = [_request(each).SerializeToString() for each in queries]
    exact = [_request(each, exact=True).SerializeToString() for each in queries[:RECALL_QUERIES]]
    servers = []
    try:
        for row in rows:
            servers.append(KeptServer(folder / f"size-{row.chunks}"))
            row.latencies = []
        for round_number in range(ROUNDS + 1):
            for row, server in zip(rows, servers, strict=True):
                address = server.addresses.grpc
                _, seconds, answers = in_another_process(raw_frames.unary, address, QUERY, requests, 1)
                if round_number:
                    row.latencies.append(statistics.median(seconds))
        for row, server in zip(rows, servers, strict=True):
            row.after_queries = server.memory()
            _, _, best = in_another_process(raw_frames.unary, server.addresses.grpc, QUERY, exact, 1)
            row.recall = _recall(answers, best)
    finally:
        for server in servers:
            server.stop()


def _request(query: Any, **changes: Any) -> retrieval_service_pb2.QueryRequest:
    return retrieval_service_pb2.QueryRequest(
        collection="bench", vector=types_pb2.Vector(packed=query.tobytes()), top_k=K, **changes
    )


def _recall(answers: Sequence[bytes], best: Sequence[bytes]) -> float:
    """Return the share of hits that are at least as good as the last of the best."""
    good = 0
    for answer, truth in zip(answers, best, strict=False):
        scores = [hit.score for hit in retrieval_service_pb2.QueryResponse.FromString(answer).results]
        bound = retrieval_service_pb2.QueryResponse.FromString(truth).results[-1].score - 1e-5
        good += sum(score >= bound for score in scores)
    return good / (len(best) * K)


if __name__ == "__main__":
    main()

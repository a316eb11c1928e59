"""What searches and writes cost each other: `python -m benchmarks.searching_while_ingesting`.

A collection of `--count` chunks. In each round `--more` come to it by themselves, then it is asked
by four callers that pause between queries, then it is asked so while `--more` come. Ratios
taken in one run: p99 of Query while documents come to that of an idle server, and the rate of
documents while it is asked to that of documents alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np

from benchmarks.child_server import Addresses, child_server
from benchmarks.load import in_another_process, stream
from benchmarks.throughput import INGEST, MESSAGE_DOCUMENTS, SERVICE, ingest_messages
from benchmarks.vectors import clustered
from rag_client import RagClient
from ragapi.v1 import retrieval_service_pb2, types_pb2

NAME = "bench"
ROUNDS = 3
IN_FLIGHT = 4
PAUSE_SECONDS = 0.02
"""Between an answer and the next query of the same caller: four callers ask up to 200 times a second."""
IDLE_SECONDS = 10.0
QUANTILES = (0.5, 0.9, 0.99)


@dataclass(slots=True)
class Rounds:
    """Seconds of each query, and documents a second, by round."""

    idle: list[list[float]] = field(default_factory=list)
    ingesting: list[list[float]] = field(default_factory=list)
    asked_idle: list[float] = field(default_factory=list)
    asked_ingesting: list[float] = field(default_factory=list)
    ingest_alone: list[float] = field(default_factory=list)
    ingest_asked: list[float] = field(default_factory=list)


def measure(count: int, more: int, rounds: int) -> Rounds:
    """Fill, and measure so many rounds."""
    vectors = clustered(count + 2 * rounds * more)
    queries = [
        retrieval_service_pb2.QueryRequest(
            collection=NAME, vector=types_pb2.Vector(packed=query.tobytes()), top_k=10
        ).SerializeToString()
        for query in vectors.queries
    ]
    messages = ingest_messages(vectors.base)
    base, more_messages = messages[: count // MESSAGE_DOCUMENTS], iter(messages[count // MESSAGE_DOCUMENTS :])
    found = Rounds()
    with child_server() as server, RagClient(server.grpc, timeout=600) as client:
        client.create_collection(NAME, embedder="none", dimension=vectors.base.shape[1])
        in_another_process(stream, server.grpc, INGEST, base)
        _settle(server)
        for _ in range(rounds):
            found.ingest_alone.append(_ingest(server, more_messages, more))
            _settle(server)
            with Asking(server.grpc, queries) as asking:
                time.sleep(IDLE_SECONDS)
            found.idle.append(asking.seconds)
            found.asked_idle.append(asking.rate)
            with Asking(server.grpc, queries) as asking:
                found.ingest_asked.append(_ingest(server, more_messages, more))
            found.ingesting.append(asking.seconds)
            found.asked_ingesting.append(asking.rate)
            _settle(server)
    return found


class Asking:
    """Another process that asks until it is left."""

    def __init__(self, address: str, queries: list[bytes]) -> None:
        context = multiprocessing.get_context("spawn")
        self._over: Event = context.Event()
        self._mine, theirs = context.Pipe()
        self._process = context.Process(target=_ask, args=(address, queries, self._over, theirs))
        self.seconds: list[float] = []
        self.rate = 0.0

    def __enter__(self) -> Self:
        self._process.start()
        self._mine.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.seconds, self.rate = self._mine.recv()
        self._process.join()


def _ask(address: str, queries: list[bytes], over: Event, answer: Any) -> None:
    asyncio.run(_asking(address, queries, over, answer))


async def _asking(address: str, queries: list[bytes], over: Event, answer: Any) -> None:
    seconds: list[float] = []
    async with grpc.aio.insecure_channel(address) as channel:
        caller: Any = channel
        call = caller.unary_unary(SERVICE + "Query")
        for query in queries[:20]:
            await call(query)
        answer.send("begun")
        began = time.perf_counter()

        async def one(first: int) -> None:
            place = first
            while not over.is_set():
                sent = time.perf_counter()
                await call(queries[place % len(queries)])
                seconds.append(time.perf_counter() - sent)
                place += IN_FLIGHT
                await asyncio.sleep(PAUSE_SECONDS)

        await asyncio.gather(*(one(number) for number in range(IN_FLIGHT)))
    answer.send((seconds, len(seconds) / (time.perf_counter() - began)))


def _ingest(server: Addresses, messages: Iterator[bytes], more: int) -> float:
    """Put the next `more` documents in, and return how many came in a second."""
    sent = list(islice(messages, more // MESSAGE_DOCUMENTS))
    seconds, _ = in_another_process(stream, server.grpc, INGEST, sent)
    return len(sent) * MESSAGE_DOCUMENTS / float(seconds)


def _settle(server: Addresses) -> None:
    while server.metric("rag_tail_chunks"):
        time.sleep(0.2)
    time.sleep(3)


def _quantiles(seconds: list[float]) -> list[float]:
    return [float(value) * 1e3 for value in np.quantile(seconds, QUANTILES)]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="vectors in the collection")
    parser.add_argument("--more", type=int, default=8000, help="vectors that come each time")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    found = measure(arguments.count, arguments.more, arguments.rounds)
    ratios = []
    for idle, ingesting in zip(found.idle, found.ingesting, strict=True):
        calm, busy = _quantiles(idle), _quantiles(ingesting)
        ratios.append(busy[2] / calm[2])
        print(
            "Query p50, p90, p99 in ms: idle " + ", ".join(f"{each:.2f}" for each in calm)
            + "; while ingesting " + ", ".join(f"{each:.2f}" for each in busy)
        )  # fmt: skip
    for name in ("asked_idle", "asked_ingesting", "ingest_alone", "ingest_asked"):
        values = getattr(found, name)
        print(f"{name:16} {statistics.median(values):10,.0f} /s  each: {[round(each) for each in values]}")
    slower = statistics.median(ratios)
    kept = statistics.median(found.ingest_asked) / statistics.median(found.ingest_alone)
    each = [round(one, 2) for one in ratios]
    print(f"p99 while ingesting to p99 idle: {slower:.2f} (at most 4), each {each}")
    print(f"documents a second while asked to alone: {kept:.2f} (at least 0.5)")
    if arguments.json:
        figures = {"processors": os.cpu_count(), "p99": slower, "kept": kept, "rounds": asdict(found)}
        arguments.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()

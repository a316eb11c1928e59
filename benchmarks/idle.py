"""What a server takes that nobody asks: `python -m benchmarks.idle`.

The share of a core that it uses before any load, after load, and while a thousand
connections are open and silent; and what those connections take of its memory and
descriptors. A call goes over each connection first, so that each is one that the server
knows; they are plain sockets with HTTP/2 on them, held by another process.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.child_server import Addresses, child_server
from benchmarks.process_facts import MIB, ProcessFacts, look_at
from benchmarks.raw_frames import Connection
from rag_client import Chunk, Document, RagClient

CONNECTIONS = 1000
DOCUMENTS, QUERIES, DIMENSION = 10_000, 2000, 384
SETTLE_SECONDS = 35.0
"""Writers of words are closed after thirty seconds without a write, gRPC's threads after twenty."""
IDLE_SECONDS = 30.0
METHOD = "/ragapi.v1.HealthService/Ping"


@dataclass(frozen=True, slots=True)
class Rest:
    """A server at rest: MiB of its own, and the share of one core that it uses."""

    what: str
    memory: float
    threads: int
    descriptors: int
    idle: float


def measure(connections: int) -> list[Rest]:
    """Look at a server at rest, again and again."""
    found = []
    with child_server() as server:
        found.append(_rest(server, "before any call"))
        _load(server)
        found.append(_rest(server, f"after {DOCUMENTS:,} documents and {QUERIES:,} queries"))
        with ExitStack() as stack:
            for _ in range(connections):
                connection = Connection(server.grpc, METHOD)
                stack.callback(connection.close)
                connection.run([b""], 1)
            found.append(_rest(server, f"with {connections:,} connections"))
        found.append(_rest(server, "after they were closed"))
    return found


def _load(server: Addresses) -> None:
    vectors = np.random.default_rng(0).normal(size=(DOCUMENTS, DIMENSION)).astype(np.float32)
    with RagClient(server.grpc, timeout=120) as client:
        client.create_collection("loaded", embedder="none", dimension=DIMENSION)
        documents = (
            Document(str(row), chunks=[Chunk(f"text number {row}", vector=vector)])
            for row, vector in enumerate(vectors)
        )
        for result in client.ingest_stream(documents, collection="loaded"):
            if result.error:
                raise result.error
        for row in range(QUERIES):
            client.query(f"number {row}", vector=vectors[row], collection="loaded", mode="hybrid")


def _rest(server: Addresses, what: str) -> Rest:
    time.sleep(SETTLE_SECONDS)
    before, began = look_at(server.pid), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    after: ProcessFacts = look_at(server.pid)
    share = (after.processor_seconds - before.processor_seconds) / (time.perf_counter() - began)
    return Rest(what, after.anonymous / MIB, after.threads, after.descriptors, share)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    found = measure(arguments.connections)
    for each in found:
        print(
            f"{each.what:46} {each.memory:8.1f} MiB {each.threads:5} threads {each.descriptors:6} descriptors"
            f"  {each.idle:7.2%} of a core"
        )
    print(f"the connections took {found[2].memory - found[1].memory:.1f} MiB (at most 100)")
    print(f"most of a core while idle: {max(each.idle for each in found):.2%} (at most 1 %)")
    if arguments.json:
        rows = [asdict(each) for each in found]
        arguments.json.write_text(json.dumps({"processors": os.cpu_count(), "rest": rows}, indent=1))


if __name__ == "__main__":
    main()

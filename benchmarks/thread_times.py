"""`python -m benchmarks.thread_times`: where the microseconds of a call go, by thread and by stage.

Processor time comes from the kernel's own count of each thread, which other work on the
machine hardly changes; so a change can be judged by it where a rate would be noise. What
the threads of hnswlib took, which end with each call, is missing. Stages are the
server's own clocks (`rag_stage_seconds`): they include waiting for a processor or the GIL.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import raw_frames
from benchmarks.child_server import Addresses, child_server
from benchmarks.load import in_another_process
from benchmarks.throughput import (
    BATCH,
    BATCHES_IN_FLIGHT,
    EMPTY,
    IN_FLIGHT,
    PING,
    SERVICE,
    Rates,
    Requests,
    fill,
    ingest_messages,
    settled,
)
from benchmarks.vectors import clustered

STAGES = ("dense", "fetch")


def main() -> None:
    """Measure every path and print a table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="vectors in the collection")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    vectors = clustered(arguments.count)
    found: dict[str, dict[str, float]] = {}
    with child_server() as server:
        before = thread_seconds(server.pid)
        fill(server, ingest_messages(vectors.base), Rates())
        settled(server)
        found["document"] = _each(before, thread_seconds(server.pid), arguments.count)
        for name, (load, calls) in _paths(server, Requests.of(vectors.queries)).items():
            before, stages = thread_seconds(server.pid), _stages(server)
            load()
            found[name] = _each(before, thread_seconds(server.pid), calls)
            found[name] |= _later(stages, _stages(server))
    for name, threads in found.items():
        print(name, *(f"  {thread:24} {micro:8.1f} µs" for thread, micro in threads.items()), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


def _paths(server: Addresses, requests: Requests) -> dict[str, tuple[Callable[[], Any], int]]:
    """Name the loads, each with how many calls, or queries, it has."""

    def frames(method: str, sent: list[bytes], in_flight: int) -> Callable[[], Any]:
        return lambda: in_another_process(raw_frames.unary, server.grpc, method, sent, in_flight)

    def batches(sent: list[bytes]) -> Callable[[], Any]:
        return frames(SERVICE + "BatchQuery", sent, BATCHES_IN_FLIGHT)

    single = requests.single * 3
    first, first_whole = (sent[: len(sent) // 5] for sent in (requests.bare, requests.full))
    return {
        # What is found is read from the database once, and then remembered: each query comes five times.
        "query of a BatchQuery with text, the first time": (batches(first_whole), len(first_whole) * BATCH),
        "query of a BatchQuery without text, the first time": (batches(first), len(first) * BATCH),
        "empty call, 32 in flight": (frames(PING, EMPTY, IN_FLIGHT), len(EMPTY)),
        "empty call, alone": (frames(PING, EMPTY[:1000], 1), 1000),
        "Query, 32 in flight": (frames(SERVICE + "Query", single, IN_FLIGHT), len(single)),
        "Query, alone": (frames(SERVICE + "Query", requests.single, 1), len(requests.single)),
        "query of a BatchQuery without text": (batches(requests.bare), len(requests.bare) * BATCH),
        "query of a BatchQuery with text": (batches(requests.full), len(requests.full) * BATCH),
    }


def thread_seconds(pid: int) -> dict[str, float]:
    """Return seconds of processor time so far, by the names of threads; numbers behind names are left off."""
    found: defaultdict[str, float] = defaultdict(float)
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            nanoseconds = int((task / "schedstat").read_text().split()[0])
        except OSError:  # it ended
            continue
        named = "event loop" if task.name == str(pid) else name.rstrip("0123456789").rstrip("-")
        # gRPC's poller and the sidecar are Python's threads, which the kernel knows by the program's name.
        found["others of Python" if named.startswith("python") else named] += nanoseconds / 1e9
    return found


def _each(before: dict[str, float], after: dict[str, float], calls: int) -> dict[str, float]:
    """Return microseconds a call, by thread, the busiest first, and all together."""
    spent = {name: (after[name] - before.get(name, 0.0)) / calls * 1e6 for name in after}
    busy = dict(
        sorted(((name, micro) for name, micro in spent.items() if micro >= 1), key=lambda one: -one[1])
    )
    return busy | {"all threads": sum(spent.values())}


def _stages(server: Addresses) -> dict[str, tuple[float, float]]:
    """Return seconds and number of each stage so far."""
    return {
        stage: (
            server.metric("rag_stage_seconds_sum", stage=stage),
            server.metric("rag_stage_seconds_count", stage=stage),
        )
        for stage in STAGES
    }


def _later(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]) -> dict[str, float]:
    """Return the mean microseconds of each stage in between, of all searches that were answered together."""
    return {
        f"stage {name}, together": (after[name][0] - before[name][0]) / count * 1e6
        for name in after
        if (count := after[name][1] - before[name][1])
    }


if __name__ == "__main__":
    main()

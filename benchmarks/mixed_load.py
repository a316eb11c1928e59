"""Half an hour of everything at once, at a moderate rate: `python -m benchmarks.mixed_load`.

Whether memory stays where it is after the first minutes. The collection keeps its size:
each second some documents come, as many go, and some are replaced, so that graph, words,
filters and rows are made anew several times in a run; meanwhile it is asked by vector,
text, words, both and filters, singly and in batches, read, counted and listed. A collection
beside it comes and goes. The exit code is 1 where memory was not flat, or a call failed.

With `--times 3` what fills once, as tables of words and identifiers do, is full within the first minutes,
and what grows without end grows three times as fast.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.child_server import child_server
from benchmarks.modes import Texts
from benchmarks.process_facts import MIB, ProcessFacts, look_at
from rag_client import Document, Field, QueryFields, RagClient, RagClientError

DOCUMENTS = 8000
"""So few that graph, words and filters, each of which is made anew when a share of it is dead, all are
within the first five minutes: a larger collection comes to its most memory as surely, and later."""
TEXT_WORDS, QUERY_WORDS = 60, 6
LOOK_SECONDS = 1.0
FIRST_MINUTES = 5
GROWTH = 1.05
"""What the last minutes may have more than those after the first: memory of compactions comes and goes."""
NAME = "mixed"


class Caller:
    """Does one kind of call again and again, so many times a second, in a thread of its own."""

    def __init__(self, name: str, rate: float, call: Callable[[], object]) -> None:
        self.name = name
        self.rate = rate
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self._call = call
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.over = threading.Event()

    def _run(self) -> None:
        due = time.perf_counter()
        while not self.over.wait(max(0.0, due - time.perf_counter())):
            due = max(due + 1 / self.rate, time.perf_counter() - 1)
            began = time.perf_counter()
            try:
                self._call()
            except RagClientError as error:
                self.failures.append(f"{error.code} {error.reason} {error}")
            self.seconds.append(time.perf_counter() - began)


class Collection:
    """What is in the collection, oldest documents first, and the calls that are made of it."""

    def __init__(self, client: RagClient, documents: int) -> None:
        self._client = client
        self._oldest, self._next = 0, 0
        self._lock = threading.Lock()
        self._seeds = iter(range(1, 2**31))
        self.dimension = 0
        client.create_collection(NAME)
        while self._next < documents:
            self.add(1000)
        self.dimension = client.get_collection(NAME).dimension

    def callers(self, times: float) -> list[Caller]:
        """Name the calls, and how often a second each is made, so many times as often."""
        kinds: dict[str, tuple[float, Callable[[], object]]] = {
            "ingest": (2, lambda: self.add(10)),
            "replace": (2, self._replace),
            "delete": (2, self._delete),
            "delete by filter": (0.2, self._delete_by_filter),
            "update metadata": (4, self._update),
            "query by vector": (10, lambda: self._query(vector=True)),
            "query by text": (10, lambda: self._query(mode="dense")),
            "query by words": (10, lambda: self._query(mode="lexical")),
            "hybrid query": (10, lambda: self._query(mode="hybrid")),
            "query with filter": (10, lambda: self._query(filter=self._filter())),
            "batch of 16": (1, lambda: self._client.batch_query([self._fields() for _ in range(16)])),
            "get": (5, self._get),
            "list": (1, lambda: self._client.list_documents(filter=self._filter(), collection=NAME)),
            "count": (1, lambda: self._client.count_documents(filter=self._filter(), collection=NAME)),
            "come and go": (0.1, self._come_and_go),
        }  # fmt: skip
        return [Caller(name, rate * times, call) for name, (rate, call) in kinds.items()]

    def add(self, count: int) -> None:
        """Add so many new documents."""
        with self._lock:
            numbers = range(self._next, self._next + count)
        self._store(list(numbers))
        with self._lock:
            self._next = numbers.stop

    def _store(self, numbers: list[int], collection: str = NAME) -> None:
        texts = self._texts(len(numbers), TEXT_WORDS)
        documents = [
            Document(f"doc-{number}", text=text, metadata={"number": number, "group": number % 50})
            for number, text in zip(numbers, texts, strict=True)
        ]
        for result in self._client.ingest_documents(documents, collection=collection):
            if result.error:
                raise result.error

    def _texts(self, count: int, words: int) -> list[str]:
        with self._lock:
            seed = next(self._seeds)
        return Texts(seed).draw(count, words)

    def _random(self) -> np.random.Generator:
        with self._lock:
            return np.random.default_rng(next(self._seeds))

    def _some(self, count: int) -> list[int]:
        numbers: list[int] = self._random().integers(self._oldest, self._next, count).tolist()
        return numbers

    def _replace(self) -> None:
        self._store(sorted(set(self._some(10))))

    def _delete(self) -> None:
        with self._lock:
            numbers = range(self._oldest, self._oldest + 9)
            self._oldest = numbers.stop
        self._client.delete_documents([f"doc-{number}" for number in numbers], collection=NAME)

    def _delete_by_filter(self) -> None:
        with self._lock:
            self._oldest += 10
        self._client.delete_documents(collection=NAME, filter=Field("number") < self._oldest)

    def _get(self) -> None:
        self._client.get_documents([f"doc-{number}" for number in self._some(10)], collection=NAME)

    def _update(self) -> None:
        (number,) = self._some(1)
        self._client.update_metadata(f"doc-{number}", {"seen": number % 7}, collection=NAME)

    def _filter(self) -> str:
        (number,) = self._some(1)
        return (Field("group") == number % 50) | (Field("number") > number)

    def _fields(self) -> QueryFields:
        return {"query": self._texts(1, QUERY_WORDS)[0], "collection": NAME}

    def _query(self, *, vector: bool = False, **options: object) -> None:
        if vector:
            query = self._random().normal(size=self.dimension).astype(np.float32)
            self._client.query(vector=query, collection=NAME)
        else:
            self._client.query(self._texts(1, QUERY_WORDS)[0], collection=NAME, **options)  # type: ignore[arg-type]  # of the table

    def _come_and_go(self) -> None:
        self._client.create_collection("passing")
        self._store(list(range(100)), "passing")
        self._client.query("w1 w2", collection="passing", mode="hybrid")
        self._client.delete_collection("passing")


@dataclass(slots=True)
class Minutes:
    """By minute of the run: the median and the most of the server's own memory in MiB, and other counts."""

    memory: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    processors: list[float] = field(default_factory=list)

    def add(self, looks: list[ProcessFacts]) -> None:
        """Take a minute's looks."""
        memory = [each.anonymous / MIB for each in looks]
        self.memory.append(round(statistics.median(memory), 1))
        self.most.append(round(max(memory), 1))
        self.threads.append(max(each.threads for each in looks))
        self.descriptors.append(max(each.descriptors for each in looks))
        spent = looks[-1].processor_seconds - looks[0].processor_seconds
        self.processors.append(round(spent / (LOOK_SECONDS * max(1, len(looks) - 1)), 3))
        print(
            f"minute {len(self.memory):3}: {self.memory[-1]:8.1f} MiB, at most {self.most[-1]:8.1f},"
            f" {self.threads[-1]} threads, {self.descriptors[-1]} descriptors,"
            f" {self.processors[-1]:.2f} of a core",
            flush=True,
        )

    def growth(self) -> float:
        """Compare the last five minutes with the five after the first five: medians of the minutes."""
        later = self.memory[FIRST_MINUTES:]
        part = min(5, max(1, len(later) // 2))
        return statistics.median(later[-part:]) / statistics.median(later[:part])


def measure(minutes: int, documents: int, times: float) -> tuple[Minutes, list[Caller]]:
    """Keep a server busy for so many minutes, at so many times the rate, and look at it each second."""
    found = Minutes()
    with child_server() as server, RagClient(server.grpc, timeout=60) as client:
        callers = Collection(client, documents).callers(times)
        for each in callers:
            each.thread.start()
        for _ in range(minutes):
            looks = []
            until = time.perf_counter() + 60
            while time.perf_counter() < until:
                looks.append(look_at(server.pid))
                time.sleep(LOOK_SECONDS)
            found.add(looks)
        for each in callers:
            each.over.set()
        for each in callers:
            each.thread.join()
    return found, callers


def _shown(callers: list[Caller]) -> dict[str, dict[str, object]]:
    """Print a table of the calls, and return it."""
    calls: dict[str, dict[str, object]] = {}
    for each in callers:
        ordered = sorted(each.seconds)
        median, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
        calls[each.name] = {
            "calls": len(ordered),
            "median": median,
            "p99": p99,
            "failures": each.failures[:10],
        }
        print(
            f"{each.name:18} {len(ordered):7,} calls, median {median * 1e3:7.2f} ms,"
            f" p99 {p99 * 1e3:8.2f} ms, {len(each.failures)} failed"
        )
        for failure in each.failures[:3]:
            print(f"    {failure}")
    return calls


def main() -> int:
    """Measure, print a line a minute and a table of the calls."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--documents", type=int, default=DOCUMENTS, help="documents in the collection")
    parser.add_argument("--times", type=float, default=1.0, help="make so many times as many calls")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    if arguments.minutes < FIRST_MINUTES + 2:
        parser.error(
            f"--minutes: at least {FIRST_MINUTES + 2}, of which the first {FIRST_MINUTES} do not count"
        )
    minutes, callers = measure(arguments.minutes, arguments.documents, arguments.times)
    calls = _shown(callers)
    growth = minutes.growth()
    failed = sum(len(each.failures) for each in callers)
    print(f"memory of the last minutes to those after the first five: {growth:.3f} (at most {GROWTH})")
    if arguments.json:
        figures = {
            "processors": os.cpu_count(),
            "documents": arguments.documents,
            "times": arguments.times,
            "growth": growth,
            "minutes": asdict(minutes),
            "calls": calls,
        }
        arguments.json.write_text(json.dumps(figures, indent=1))
    return 1 if growth > GROWTH or failed else 0


if __name__ == "__main__":
    sys.exit(main())

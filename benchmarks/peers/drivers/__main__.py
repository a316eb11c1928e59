"""`python -m benchmarks.peers.drivers NAME ADDRESS HTTP DATA`: JSON commands in, JSON answers out."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from benchmarks.peers.drivers.driver import Answer, Asked, K
from benchmarks.peers.drivers.rows import stored
from benchmarks.peers.messages import read_messages, write_messages

CLASSES = {
    "own": "own.OwnDriver",
    "chroma": "chroma.ChromaDriver",
    "milvus": "milvus.MilvusDriver",
    "weaviate": "weaviate.WeaviateDriver",
    "lance": "lance.LanceDriver",
}


class Commands:
    """The commands; each takes and gives what JSON has, and files for what is large."""

    def __init__(self, driver: Any, data: Path) -> None:
        self._driver = driver
        self._data = data
        self._queries = np.load(data / "queries.npy")

    def ingest(self, rows: int, batch: int, writers: int) -> dict[str, Any]:
        """Write rows; 0 for `batch` or `writers` means what is best for this peer."""
        batch, writers = batch or self._driver.batch, writers or self._driver.writers
        seconds: dict[str, Any] = self._driver.ingest(stored(self._data, rows), batch, writers)
        return seconds | {"batch": batch, "writers": writers}

    def effort(self, effort: int) -> dict[str, Any]:
        """Set how hard searches try."""
        return {"restart": self._driver.effort(effort)}

    def record(self, file: str) -> dict[str, Any]:
        """Record the client's requests for all queries into a file."""
        requests = self._driver.requests(self._queries)
        write_messages(Path(file), requests)
        return {"requests": len(requests)}

    def scores(self, file: str) -> dict[str, Any]:
        """Read responses, write their scores as an array beside them, and count the whole ones."""
        return _kept([self._driver.answer(response) for response in read_messages(Path(file))], file)

    def run(self, count: int, in_flight: int, file: str) -> dict[str, Any]:
        """Ask `count` queries within this process."""
        places = np.arange(count) % len(self._queries)
        seconds, latencies, answers = self._driver.run(self._queries[places], in_flight)
        return {"seconds": seconds, "latencies": latencies} | _kept(answers, file)


def _kept(answers: list[Answer], file: str) -> dict[str, Any]:
    scores = np.full((len(answers), K), -2, dtype=np.float32)
    for row, answer in zip(scores, answers, strict=True):
        row[: len(answer.scores)] = answer.scores
    np.save(file + ".npy", scores)
    return {"whole": sum(answer.whole and len(answer.scores) == K for answer in answers)}


def main() -> None:
    """Serve commands from standard input until it ends."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", choices=CLASSES)
    parser.add_argument("address")
    parser.add_argument("http")
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    # What a library prints must not come between the answers.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        serve(arguments, answers)


def serve(arguments: argparse.Namespace, answers: TextIO) -> None:
    """Answer commands with a driver."""
    module, _, name = CLASSES[arguments.name].partition(".")
    driver = getattr(importlib.import_module(f"benchmarks.peers.drivers.{module}"), name)
    commands = Commands(driver(Asked(arguments.address, arguments.http, arguments.data)), arguments.data)
    for line in sys.stdin:
        command: dict[str, Any] = json.loads(line)
        answer = getattr(commands, command.pop("do"))(**command)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

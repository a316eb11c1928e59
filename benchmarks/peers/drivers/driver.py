"""What the harness asks of a driver, whichever peer it drives."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.drivers.rows import Stored

M, EF_CONSTRUCTION, EF, K, DIMENSION = 16, 100, 100, 10, 384
COLLECTION = "Bench"
PATIENCE = 600.0
"""Seconds until what was written has to be found."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Where a driver finds what it needs; `http` is empty where a server has no second port."""

    address: str
    http: str
    data: Path


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits of one query: their scores, and whether all came with text and metadata."""

    scores: list[float]
    whole: bool


class Driver(Protocol):
    """One peer's own client."""

    batch: int
    """Rows in a message; `--batches` tries others."""
    writers: int
    """Messages in flight while rows go in."""

    def ingest(self, rows: Stored, batch: int, writers: int) -> dict[str, float]:
        """Write all rows into a new collection; seconds until the last is found and until all are indexed."""

    def effort(self, effort: int) -> bool:
        """Set the effort of searches to come; True where the server has to be started again for it."""

    def requests(self, queries: NDArray[np.float32]) -> list[bytes]:
        """Return what the client sends for each query."""

    def answer(self, response: bytes) -> Answer:
        """Read what the server sent back."""


class InProcess(Protocol):
    """A peer without a server; the driver runs the queries itself."""

    def run(self, queries: NDArray[np.float32], in_flight: int) -> tuple[float, list[float], list[Answer]]:
        """Ask; return seconds in all, each query's seconds, and the answers."""


def spread(write: Callable[[slice], Any], parts: Sequence[slice], writers: int) -> None:
    """Write parts, so many at a time."""
    with ThreadPoolExecutor(writers) as pool:
        for _ in pool.map(write, parts):
            pass


def found(last_is_found: Callable[[], bool]) -> None:
    """Wait until the last row is the nearest to its own vector."""
    began = time.perf_counter()
    while not last_is_found():
        if time.perf_counter() - began > PATIENCE:
            raise RuntimeError("the last row was written and is not found")
        time.sleep(0.01)

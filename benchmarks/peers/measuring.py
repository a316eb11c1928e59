"""What is measured of the contenders, in turns, so that all of them share what the machine does meanwhile."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.contender import Contender, Run, contender
from benchmarks.peers.matching import match
from benchmarks.peers.results import Ingest, LoadPoint, Outcome, Results, SweepPoint
from benchmarks.peers.servers import OWN
from benchmarks.vectors import Vectors, clustered

EFFORT = 100
"""Of the own server; the peers' follow from the recall that it has."""
SWEEP = (20, 50, 100, 200, 400)
LOADS = (1, 2, 4, 8, 16, 32, 64)
IN_FLIGHT = 32
RUN_SECONDS = 2.0
FEWEST, MOST = 300, 4000
"""Queries in a timed run, which are as many as take about RUN_SECONDS."""


class Measuring:
    """One run of everything, in the folder `scratch`; `results` fills as it goes."""

    def __init__(self, names: Sequence[str], count: int, scratch: Path, queries: int = 1000) -> None:
        self._names = list(names)
        self._queries = queries
        self._count = count
        self._scratch = scratch
        self._data = scratch / "vectors"
        self._began = time.perf_counter()
        self._running: dict[str, Contender] = {}
        self.results = Results(count=count, outcomes={name: Outcome() for name in names})

    def stages(self, ingest_rounds: int, rounds: int) -> Iterator[str]:
        """Measure all, and yield after each stage; a contender that fails is left out from then on."""
        self._save_vectors()
        for number in range(ingest_rounds - 1):
            with ExitStack() as ended:
                self._each(self._ingest, str(number), ended)
                self._running.clear()
        with ExitStack() as ended:
            self._each(self._ingest, "kept", ended)
            yield "ingest"
            for effort in SWEEP:
                self._each(self._sweep, effort)
            yield "recall"
            self._each(self._match)
            yield "match"
            self._each(self._rest)
            for _ in range(rounds):
                self._each(self._round)
                yield "round"
            for in_flight in LOADS:
                self._each(self._load, in_flight)
                yield "load"

    def _save_vectors(self) -> None:
        save_vectors(clustered(self._count, queries=self._queries), self._data)
        self._say("vectors are made")

    def _each(self, step: Callable[..., None], *arguments: Any) -> None:
        for name in self._names:
            outcome = self.results.outcomes[name]
            if not outcome.failure:
                try:
                    step(name, *arguments)
                except RuntimeError as error:
                    if name == OWN:
                        raise
                    outcome.failure = str(error)
                    self._say(f"{name} fails: {error}")

    def _ingest(self, name: str, folder: str, ended: ExitStack) -> None:
        one = ended.enter_context(contender(name, self._data, self._scratch / f"{name}-{folder}"))
        self._running[name] = one
        seconds = one.ingest(self._count)
        ingest = Ingest(self._count / seconds["searchable"], self._count / seconds["indexed"])
        outcome = self.results.outcomes[name]
        outcome.ingest.append(ingest)
        outcome.batch, outcome.writers = int(seconds["batch"]), int(seconds["writers"])
        self._say(f"{name}: {ingest.searchable:,.0f} rows a second, {ingest.indexed:,.0f} until indexed")

    def _sweep(self, name: str, effort: int) -> None:
        self._running[name].set_effort(effort)
        found, run = self._running[name].recall()
        self.results.outcomes[name].sweep.append(SweepPoint(effort, found, run.rate))
        self._say(f"{name}: ef {effort}, recall {found:.4f}, {run.rate:,.0f} queries a second")

    def _match(self, name: str) -> None:
        own = self.results.outcomes[OWN]
        target = next(point.recall for point in own.sweep if point.effort == EFFORT)
        outcome = self.results.outcomes[name]
        known = {point.effort: (point.recall, point.throughput) for point in outcome.sweep}

        def recall_at(effort: int) -> float:
            self._running[name].set_effort(effort)
            found, run = self._running[name].recall()
            known[effort] = found, run.rate
            return found

        if name == OWN:
            outcome.effort, outcome.matched = EFFORT, True
        else:
            found = match(target, recall_at, {effort: point[0] for effort, point in known.items()})
            outcome.effort, outcome.matched = found.effort, found.within
        outcome.recall, outcome.pace = known[outcome.effort]
        self._running[name].set_effort(outcome.effort)
        self._say(f"{name}: ef {outcome.effort} for recall {outcome.recall:.4f}")

    def _rest(self, name: str) -> None:
        outcome = self.results.outcomes[name]
        outcome.memory_mb = self._running[name].anonymous_mb()
        outcome.idle_share = self._running[name].idle_share()

    def _round(self, name: str) -> None:
        outcome, one = self.results.outcomes[name], self._running[name]
        loaded = one.run(_length(outcome.pace), IN_FLIGHT)
        outcome.throughput.append(loaded.rate)
        outcome.generator_us = 1e6 * loaded.generator / loaded.count
        alone = one.run(_length(outcome.pace / 3), 1)
        outcome.latency_ms.append(1000 * statistics.median(alone.latencies))
        self._say(f"{name}: {outcome.throughput[-1]:,.0f} queries a second, {outcome.latency_ms[-1]:.2f} ms")

    def _load(self, name: str, in_flight: int) -> None:
        outcome = self.results.outcomes[name]
        run = self._running[name].run(_length(outcome.pace), in_flight)
        outcome.load.append(_load_point(run, in_flight))

    def _say(self, what: str) -> None:
        print(f"{time.perf_counter() - self._began:5.0f} s  {what}", flush=True)


def save_vectors(vectors: Vectors, folder: Path) -> None:
    """Write vectors where drivers look for them."""
    folder.mkdir(parents=True)
    for name in ("base", "queries", "truth"):
        np.save(folder / f"{name}.npy", getattr(vectors, name))


def _length(pace: float) -> int:
    return int(min(max(pace * RUN_SECONDS, FEWEST), MOST))


def _load_point(run: Run, in_flight: int) -> LoadPoint:
    median, late = np.percentile(run.latencies, [50, 99]) * 1000
    return LoadPoint(in_flight, run.rate, float(median), float(late))

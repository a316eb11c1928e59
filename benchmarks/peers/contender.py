"""One contender: its server, its driver, and the load that is sent to it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import raw_frames
from benchmarks.load import in_another_process
from benchmarks.peers import http_replay
from benchmarks.peers.environment import ROOT
from benchmarks.peers.messages import read_messages, write_messages
from benchmarks.peers.processes import Child, Usage
from benchmarks.peers.servers import KINDS, LOCAL, ports_of
from benchmarks.vectors import Rows, recall


@dataclass(frozen=True, slots=True)
class Run:
    """One run of queries: how many, seconds in all, seconds of each, processor seconds of the generator."""

    count: int
    seconds: float
    latencies: list[float]
    generator: float = 0.0

    @property
    def rate(self) -> float:
        """Queries a second."""
        return self.count / self.seconds


class Contender:
    """Starts when made; `close` ends server and driver. Queries are sent at the effort set last."""

    def __init__(self, name: str, data: Path, folder: Path) -> None:
        self.name = name
        self._kind = KINDS[name]
        self._folder = folder
        self._folder.mkdir(parents=True)
        self._ports = ports_of(self._kind)
        self._server: Child | None = None
        self._start_server()
        addresses = [f"{LOCAL}:{port}" for port in self._ports]
        address, http, *_ = [*addresses, "", ""]
        self._address = address
        self._driver = _DriverProcess(self._kind.driver, self._kind.python, address, http, data)
        self._truth: Rows = np.load(data / "truth.npy")
        self._requests: list[bytes] = []

    def close(self) -> None:
        """End all that was started."""
        self._driver.close()
        if self._server:
            self._server.stop()

    def _start_server(self) -> None:
        if self._kind.start:
            self._server = self._kind.start(self._folder, self._ports)
            self._server.wait_for(self._ports[: self._kind.waits])

    def ingest(self, rows: int, batch: int = 0, writers: int = 0) -> dict[str, float]:
        """Write rows through the peer's own client."""
        answer: dict[str, float] = self._driver.ask("ingest", rows=rows, batch=batch, writers=writers)
        return answer

    def set_effort(self, effort: int) -> None:
        """Search harder or less hard from now on, and record the requests that say so."""
        if self._driver.ask("effort", effort=effort)["restart"] and self._server:
            self._server.stop()
            self._start_server()
        if self._server and not (self._requests and not self._kind.method):
            file = self._folder / "requests"
            self._driver.ask("record", file=str(file))
            self._requests = read_messages(file)

    def recall(self) -> tuple[float, Run]:
        """Ask every query once, 32 in flight; return recall@10 and the run.

        Raises RuntimeError where a hit came without its text or metadata.
        """
        file = self._folder / "responses"
        if self._server:
            run, responses = self._send(len(self._requests), 32)
            write_messages(file, responses)
            answer = self._driver.ask("scores", file=str(file))
        else:
            run, answer = self._run_inside(len(self._truth), 32, file)
        if answer["whole"] != len(self._truth):
            raise RuntimeError(f"{self.name}: of {len(self._truth)} answers {answer['whole']} are whole")
        scores = np.load(str(file) + ".npy")
        return recall(scores, self._truth), run

    def run(self, count: int, in_flight: int) -> Run:
        """Ask so many queries, distinct ones until all were asked."""
        if self._server:
            return self._send(count, in_flight)[0]
        return self._run_inside(count, in_flight, self._folder / "responses")[0]

    def _send(self, count: int, in_flight: int) -> tuple[Run, list[bytes]]:
        requests = [self._requests[place % len(self._requests)] for place in range(count)]
        if self._kind.method:
            load = partial(raw_frames.unary, self._address, self._kind.method, requests, in_flight)
        else:
            load = partial(http_replay.unary, self._address, requests, in_flight)
        (seconds, latencies, responses), generator = in_another_process(_with_processor_time, load)
        return Run(count, seconds, latencies, generator), responses

    def _run_inside(self, count: int, in_flight: int, file: Path) -> tuple[Run, dict[str, Any]]:
        answer = self._driver.ask("run", count=count, in_flight=in_flight, file=str(file))
        return Run(count, answer["seconds"], answer["latencies"]), answer

    def anonymous_mb(self) -> float:
        """Return the anonymous memory of the server; of the driver where there is none."""
        return (self._server or self._driver).usage.anonymous_mb()

    def idle_share(self, seconds: float = 2.0) -> float:
        """Return the share of a core that is used while nobody asks."""
        usage = (self._server or self._driver).usage
        before = usage.processor_seconds()
        time.sleep(seconds)
        return (usage.processor_seconds() - before) / seconds


def _with_processor_time(load: Callable[[], Any]) -> tuple[Any, float]:
    before = time.process_time()
    return load(), time.process_time() - before


class _DriverProcess:
    """Asks a driver, which runs with the Python that has the peer's client."""

    def __init__(self, name: str, python: str, address: str, http: str, data: Path) -> None:
        paths = [str(ROOT), str(ROOT / "clients" / "python")] if name == "own" else [str(ROOT)]
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.peers.drivers", name, address, http, str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        self.usage = Usage(self._process.pid)

    def ask(self, command: str, **arguments: Any) -> Any:
        """Send a command and wait for its answer; RuntimeError where the driver ended."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the driver has no pipes")
        self._process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the driver ended at {command}")
        return json.loads(line)

    def close(self) -> None:
        # It may be in the middle of something that nobody waits for any more.
        with self._process:
            self._process.terminate()


@contextmanager
def contender(name: str, data: Path, folder: Path) -> Iterator[Contender]:
    """Start a contender and end it."""
    one = Contender(name, data, folder)
    try:
        yield one
    finally:
        one.close()

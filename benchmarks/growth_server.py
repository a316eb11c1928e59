"""A server whose data outlive it: started, killed and started again, with what it takes of memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.child_server import Addresses
from benchmarks.process_facts import look_at

READY_SECONDS = 900
STOP_SECONDS = 300
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: the server's own pages, its pages of mapped files, and what its children have to themselves."""

    anonymous: int
    mapped: int
    children: int

    def most(self, other: Memory) -> Memory:
        """Return the larger of each."""
        return Memory(
            max(self.anonymous, other.anonymous),
            max(self.mapped, other.mapped),
            max(self.children, other.children),
        )


class KeptServer:
    """A server on a data folder of its own, from the moment that it is ready."""

    def __init__(self, folder: Path) -> None:
        """Start it and wait until it is ready; `start_seconds` is how long that took, interpreter and all."""
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "log"
        self.data = folder / "data"
        environment = os.environ | {
            "RAG_LISTEN": "127.0.0.1:0",
            "RAG_HTTP_LISTEN": "127.0.0.1:0",
            "RAG_DATA_DIR": str(self.data),
            "RAG_LOG_FORMAT": "json",
            "RAG_DRAIN_PAUSE": "0",
        }
        began = time.perf_counter()
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rag_grpc", "serve"],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )
        ready = self._wait_until_ready()
        self.start_seconds = time.perf_counter() - began
        self.addresses = Addresses(ready["grpc_address"], ready["http_address"], self._process.pid)

    def _wait_until_ready(self) -> dict[str, Any]:
        until = time.monotonic() + READY_SECONDS
        while self._process.poll() is None and time.monotonic() < until:
            for event in self.events("ready"):
                return event
            time.sleep(0.02)
        raise RuntimeError(f"the server did not become ready: {self._log.read_text()[-2000:]}")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of that name which it logged so far."""
        lines = self._log.read_text().splitlines()
        return [json.loads(line) for line in lines if f'"event":"{name}"' in line and line.endswith("}")]

    def memory(self) -> Memory:
        """Look at the memory of the server and of its children."""
        own = look_at(self._process.pid)
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        children = [int(pid) for file in tasks for pid in _text(file).split()]
        return Memory(own.anonymous, own.mapped, sum(map(_private_bytes, children)))

    def processor_seconds(self) -> float:
        """Processor time that it took so far."""
        return look_at(self._process.pid).processor_seconds

    def stop(self) -> None:
        """End it in order."""
        self._process.terminate()
        self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(STOP_SECONDS)


class MemoryWatch(threading.Thread):
    """Looks at a server's memory now and then; `most` is the most that it saw."""

    def __init__(self, server: KeptServer) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._over = threading.Event()
        self.most = server.memory()

    def run(self) -> None:
        """Look until `finish`."""
        while not self._over.wait(LOOK_SECONDS):
            self.most = self.most.most(self._server.memory())

    def finish(self) -> Memory:
        """End, and return the most that was seen."""
        self._over.set()
        self.join()
        return self.most


def _private_bytes(pid: int) -> int:
    """What a child has to itself: of a fork, most is the parent's."""
    lines = _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_Dirty"))


def _text(file: Path) -> str:
    """Read a file of /proc; its process may be gone."""
    try:
        return file.read_text()
    except OSError:
        return ""

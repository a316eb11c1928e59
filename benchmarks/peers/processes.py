"""Child processes: free ports, waiting until one answers, what memory and processor time they take."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.process_facts import look_at

START_SECONDS, STOP_SECONDS = 180.0, 60.0


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Usage:
    """What a process and its children take of the machine."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def anonymous_mb(self) -> float:
        """Return their anonymous memory, in MB."""
        return sum(look_at(pid).anonymous for pid in _family(self._pid)) / 1e6

    def processor_seconds(self) -> float:
        """Return the processor time that they have used."""
        return sum(look_at(pid).processor_seconds for pid in _family(self._pid))


class Child:
    """A process with its log in a file, and whatever it starts: Milvus's wrapper does not end the server."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | (environment or {}),
                start_new_session=True,
            )
        self.usage = Usage(self._process.pid)

    def wait_for(self, ports: Iterable[int]) -> None:
        """Wait until all ports take connections; RuntimeError where the process ends or is too slow."""
        deadline = time.monotonic() + START_SECONDS
        for port in ports:
            while not _listens(port):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"it does not listen on {port}: {self._log.read_text()[-2000:]}")
                time.sleep(0.05)

    def stop(self) -> None:
        """End its group; kill what takes too long, or is left when the first process has ended."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        # Where the group has ended already, all is as it should be.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def _listens(port: int) -> bool:
    with socket.socket() as each:
        each.settimeout(1)
        return each.connect_ex(("127.0.0.1", port)) == 0


def _family(pid: int) -> list[int]:
    family = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            family += _family(int(child))
    return family

"""Servers that are forked from one process, which has imported all that they import.

One such process, a nursery, for each process of pytest. It is started with the first server that is
asked for, and ends when this one does, however this one ends.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.process import nursery
from tests.process.nursery import Order

_COMMAND = "a forked server"


class ForkedServer:
    """What tests use of `subprocess.Popen`, for a process that is another one's child.

    Signals go through a descriptor of the process, never by its number: that may be somebody else's by then.
    """

    def __init__(self, pid: int, process: int, *, stdout: int, stderr: int, report: int) -> None:
        """`process` is a descriptor of it; its exit code comes through `report`."""
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = os.fdopen(stdout, encoding="utf-8")
        self.stderr = os.fdopen(stderr, encoding="utf-8")
        self._process = process
        self._report = os.fdopen(report, "rb")
        self._lock = threading.Lock()
        """Held by who uses the descriptors while they may be closed: one thread may kill, another wait."""

    def poll(self) -> int | None:
        """Give its exit code where it has ended."""
        return self._code() if self._has_ended(0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and give its exit code. Raises subprocess.TimeoutExpired."""
        if not self._has_ended(timeout):
            raise subprocess.TimeoutExpired(_COMMAND, timeout or 0)
        return self._code()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with self._lock, suppress(ProcessLookupError):
            if self.returncode is None:
                signal.pidfd_send_signal(self._process, number)

    def kill(self) -> None:
        """End it without a word, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, timeout: float | None) -> bool:
        with self._lock:
            if self.returncode is not None:
                return True
            process = os.dup(self._process)
        try:
            news = select.poll()
            news.register(process, select.POLLIN)
            return bool(news.poll(None if timeout is None else timeout * 1000))
        finally:
            os.close(process)

    def _code(self) -> int:
        """Give the exit code of one that has ended. The nursery is about to say it, if it has not yet."""
        with self._lock:
            if self.returncode is None:
                said = self._report.read()
                if not said:
                    raise RuntimeError("the nursery was killed, and nobody knows how its child ended")
                self.returncode = int(said)
                self._report.close()
                os.close(self._process)
        return self.returncode


class _Nursery:
    """The nursery's other side. `environment` is what it started with."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # Pipes, though it says nothing: its streams become its children's, and those read what kind they
            # are when they are made.
            self._process = subprocess.Popen(
                [sys.executable, nursery.__file__, str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        atexit.register(self.end)

    def order(self, order: Order) -> ForkedServer:
        """Have one forked. One order at a time."""
        (stdout, out), (stderr, err), (report, code) = os.pipe(), os.pipe(), os.pipe()
        try:
            answer, process = self._ask(order, [out, err, code])
        finally:
            for theirs in (out, err, code):
                os.close(theirs)
        if not answer:
            for mine in (stdout, stderr, report):
                os.close(mine)
            raise RuntimeError(f"the nursery has ended: {self.end()}")
        return ForkedServer(int(answer), *process, stdout=stdout, stderr=stderr, report=report)

    def _ask(self, order: Order, descriptors: list[int]) -> tuple[bytes, list[int]]:
        """Give what it answers, a number and a descriptor; nothing where it has ended."""
        with suppress(ConnectionError):
            socket.send_fds(self._orders, [order.written()], descriptors)
            return socket.recv_fds(self._orders, 32, 1)[:2]
        return b"", []

    def end(self) -> str:
        """End it and wait for that; give what it wrote to standard error."""
        self._orders.close()
        return self._process.communicate()[1]


_lock = threading.Lock()
_nurseries: list[_Nursery] = []


def fork_server(folder: Path, environment: Mapping[str, str]) -> ForkedServer | None:
    """Start a server in a folder, with that environment and no other.

    None where the environment has more of its own than settings: libraries read theirs while they are
    imported, so that a server of another environment must import them itself. And None where the kernel
    gives no descriptors of processes, as some sandboxes' do not.
    """
    if not can_fork():
        return None
    with _lock:
        if not _nurseries:
            _nurseries.append(_Nursery(_read_by_imports(environment)))
        (existing,) = _nurseries
        if _read_by_imports(environment) != existing.environment:
            return None
        try:
            return existing.order(Order(str(folder), dict(environment)))
        except RuntimeError:
            # The next server has another.
            _nurseries.clear()
            raise


@cache
def can_fork() -> bool:
    """Whether the kernel gives descriptors of processes."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _read_by_imports(environment: Mapping[str, str]) -> dict[str, str]:
    """All but the server's settings, which it reads when it starts, and what pytest says of itself."""
    return {name: value for name, value in environment.items() if not name.startswith(("RAG_", "PYTEST_"))}

"""A server as a child process, and what it says."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.process.forked import fork_server

START_TIMEOUT = 60.0


class Child:
    """`python -m rag_grpc serve` with settings of its own; no setting of the caller's environment reaches it.

    Its events are read as they come, so that a full pipe never holds it up.
    """

    def __init__(
        self, folder: Path, *, inside: Sequence[str] = (), fresh: bool = False, **settings: str
    ) -> None:
        """`inside` is a command that runs the server's, in a namespace for example.

        `fresh` is for who looks at how a process starts, or at what one has to itself: it is not forked from
        one that has imported everything.
        """
        self.settings = {
            "RAG_LISTEN": "127.0.0.1:0",
            "RAG_HTTP_LISTEN": "127.0.0.1:0",
            "RAG_DATA_DIR": str(folder / "data"),
            "RAG_LOG_FORMAT": "json",
            "RAG_DRAIN_PAUSE": "0",
            "RAG_DISK_RESERVE_BYTES": "0",
            **{f"RAG_{name.upper()}": value for name, value in settings.items()},
        }
        self.events: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._ended = False
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
        environment = inherited | self.settings
        forked = None if fresh or inside else fork_server(folder, environment)
        self.process = forked or subprocess.Popen(
            [*inside, sys.executable, "-m", "rag_grpc", "serve"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def grpc_address(self) -> str:
        """Where it listens, once it does."""
        address: str = self.wait_for("listening")["grpc_address"]
        return address

    @property
    def http_address(self) -> str:
        """Where its sidecar listens."""
        address: str = self.wait_for("listening")["http_address"]
        return address

    def ready(self) -> "Child":
        """Wait until it serves."""
        self.wait_for("ready")
        return self

    def wait_for(self, event: str, timeout: float = START_TIMEOUT) -> dict[str, Any]:
        """Wait for the first event of that name."""

        def found() -> dict[str, Any] | None:
            return next((each for each in self.events if each["event"] == event), None)

        with self._news:
            self._news.wait_for(lambda: found() or self._ended, timeout)
            event_found = found()
        assert event_found is not None, f"no {event!r} in {self.events}; standard error: {self.errors()}"
        return event_found

    def tell(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for its end and give its exit code."""
        code = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        return code

    def stop(self) -> float:
        """End it as an orchestrator does; give the seconds that took. It must have gone well."""
        began = time.monotonic()
        self.tell(signal.SIGTERM)
        code = self.wait()
        self.check_clean(code)
        return time.monotonic() - began

    def check_clean(self, code: int) -> None:
        """Assert that it ended as it should: exit code 0, nothing on standard error, no error logged."""
        assert code == 0, f"exit code {code}; {self.errors()}"
        assert self.errors() == ""
        assert [each for each in self.events if each["level"] in ("error", "critical")] == []
        assert [each for each in self.events if each["event"] == "library_message"] == []
        assert self.events[-1]["event"] == "stopped"

    def errors(self) -> str:
        """Give what it wrote to standard error so far."""
        return "".join(self._errors)

    def kill(self) -> None:
        """End it without a word, as often as one likes."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def _read_events(self) -> None:
        for line in _lines(self.process.stdout):
            event = json.loads(line)
            with self._news:
                self.events.append(event)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _read_errors(self) -> None:
        self._errors.extend(_lines(self.process.stderr))


def _lines(pipe: Any) -> Iterator[str]:
    with contextlib.suppress(ValueError):  # closed while we read
        yield from pipe

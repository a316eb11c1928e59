"""The real server as a child process of `make demo`, and of the tests of what the README says."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

START_SECONDS = 30.0  # a start takes about one; a machine under load may be slow


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


class Server:
    """The real server as a child of this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.grpc_address = self.http_address = ""

    def start(self) -> float:
        """Start it and wait until it serves; give the seconds that took."""
        began = time.perf_counter()
        # Nothing of the caller's settings: RAG_ variables are left out, and a .env file
        # is looked for in the working folder, which is the scratch one.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
        environ |= {
            "RAG_LISTEN": "127.0.0.1:0",
            "RAG_HTTP_LISTEN": "127.0.0.1:0",
            "RAG_DATA_DIR": str(self._folder / "data"),
            "RAG_LOG_FORMAT": "json",
            "RAG_DRAIN_PAUSE": "0s",
        }
        self._child = subprocess.Popen(
            [sys.executable, "-m", "rag_grpc", "serve"],
            cwd=self._folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C is for this process, which ends the child in order.
            start_new_session=True,
        )
        assert self._child.stdout is not None  # noqa: S101 # it is a PIPE
        events: queue.Queue[str] = queue.Queue()
        # Read to the end in a thread: a log that nobody reads would stop the server.
        self._reader = threading.Thread(target=_follow, args=(self._child.stdout, events), daemon=True)
        self._reader.start()
        self._await_ready(events, began + START_SECONDS)
        return time.perf_counter() - began

    def kill(self) -> None:
        """End it at once: no time to save anything."""
        if self._child is not None and self._reader is not None:
            self._child.kill()
            self._child.wait()
            self._reader.join()

    def stop(self) -> int:
        """End it in order; give its exit code."""
        if self._child is None:
            return 0
        self._child.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout=START_SECONDS)
        self.kill()
        return self._child.returncode

    def _await_ready(self, events: queue.Queue[str], until: float) -> None:
        said: list[str] = []
        while True:
            line = ""
            with suppress(queue.Empty):
                line = events.get(timeout=max(until - time.perf_counter(), 0.0))
            if not line:
                raise DemoError("the server did not start; it said:\n" + "".join(said))
            said.append(line)
            if '"event":"ready"' in line:
                event = json.loads(line)
                self.grpc_address, self.http_address = event["grpc_address"], event["http_address"]
                return


def _follow(stream: IO[str], events: queue.Queue[str]) -> None:
    with stream:
        for line in stream:
            events.put(line)
    events.put("")

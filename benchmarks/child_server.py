"""A real server as a child process, on free ports and a scratch folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the child listens."""

    grpc: str
    http: str
    pid: int

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's series that have these labels, from /metrics."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.split("{")[0].split(" ")[0] == name and all(each in line for each in wanted)
        )


@contextmanager
def child_server(**settings: str) -> Iterator[Addresses]:
    """Start a server with RAG_... settings, and end it with SIGTERM.

    With a RAG_DATA_DIR the data stay, and the next server can begin with them.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "RAG_LISTEN": "127.0.0.1:0",
            "RAG_HTTP_LISTEN": "127.0.0.1:0",
            "RAG_DATA_DIR": f"{folder}/data",
            "RAG_LOG_FORMAT": "json",
            "RAG_DRAIN_PAUSE": "0",
        }
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "rag_grpc", "serve"],
                env=environment | settings,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )
        try:
            yield _ready(process, log)
        finally:
            process.terminate()
            process.wait(timeout=120)


def _ready(process: subprocess.Popen[bytes], log: Path) -> Addresses:
    while process.poll() is None:
        for line in log.read_text().splitlines():
            if '"ready"' in line:
                event = json.loads(line)
                return Addresses(event["grpc_address"], event["http_address"], process.pid)
        time.sleep(0.05)
    raise RuntimeError(f"the server ended before it was ready: {log.read_text()[-2000:]}")

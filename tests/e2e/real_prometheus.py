"""A Prometheus of its own for a test, which scrapes one server often."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.e2e.programs import program


async def get(url: str) -> str:
    """Read what an address of ours answers."""

    def read() -> str:
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 # our own address
            text: str = response.read().decode()
        return text

    return await asyncio.to_thread(read)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def prometheus(
    folder: Path, target: str, *, rules: Path | None = None, interval: str = "1s"
) -> AsyncIterator[str]:
    """Run a Prometheus that scrapes `target` and looks at `rules` at an interval; gives where it answers."""
    config = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(rules)] if rules is not None else [],
        "scrape_configs": [{"job_name": "rag-grpc", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    address = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address={address}",
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://{address}"
    finally:
        child.send_signal(signal.SIGTERM)
        await child.wait()


async def sample(url: str, query: str) -> float | None:
    """Ask Prometheus for one number; None while it does not answer or has none."""
    try:
        text = await get(f"{url}/api/v1/query?query={urllib.parse.quote(query)}")
    except OSError:
        return None  # it is not up yet
    result = json.loads(text)["data"]["result"]
    return float(result[0]["value"][1]) if result else None


async def alerts(url: str) -> list[dict[str, Any]]:
    """Every alert that is pending or firing, with its labels and its texts filled in."""
    found: list[dict[str, Any]] = json.loads(await get(f"{url}/api/v1/alerts"))["data"]["alerts"]
    return found

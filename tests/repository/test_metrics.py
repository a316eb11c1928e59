"""docs/operations.md knows every metric, and Prometheus's own checker finds nothing to say."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric

from rag_grpc.app import running_server
from rag_grpc.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
ROW = re.compile(
    r"^\| `([a-z_]+)` \| (counter|gauge|histogram|info) \| ?([a-z_, ]*) \| ([^|]+) \|$", re.MULTILINE
)
NOT_OURS = ("process_", "python_")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[CollectorRegistry]:
    """What a server that serves has registered."""
    settings = Settings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        data_dir=tmp_path,
        drain_pause=0.0,
        disk_reserve_bytes=0,
    )
    async with running_server(settings) as server:
        yield server.registry


def shown_name(family: Metric) -> str:
    suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
    return family.name + suffix


async def test_every_metric_is_documented_with_its_type_and_no_other_is(registry: CollectorRegistry) -> None:
    there = {
        shown_name(family): family.type
        for family in registry.collect()
        if not family.name.startswith(NOT_OURS)
    }
    documented = {name: kind for name, kind, _, _ in ROW.findall(PAGE)}
    assert documented == there


async def test_labels_are_documented(registry: CollectorRegistry) -> None:
    documented = {name: set(filter(None, labels.split(", "))) for name, _, labels, _ in ROW.findall(PAGE)}
    for family in registry.collect():
        if family.samples and not family.name.startswith(NOT_OURS):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            assert labels == documented[shown_name(family)], family.name


async def test_promtool_has_nothing_to_say(registry: CollectorRegistry) -> None:
    promtool = shutil.which("promtool") or shutil.which(str(ROOT / ".tools" / "bin" / "promtool"))
    if promtool is None:
        pytest.skip("promtool is not installed; `make tools` brings it")
    checked = await asyncio.to_thread(
        subprocess.run,
        [promtool, "check", "metrics"],
        input=generate_latest(registry),
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")

"""A fall of quality that is made on purpose wakes somebody: the real rules, in a real Prometheus.

The rules are those of deploy/, and only their durations are made shorter, all by one
factor: that by which the canary's interval is. So a rule that could not fire, or would
fire too early, does the same here. What is not shorter are the bounds: how far a score
must fall is not a duration.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from rag_grpc.app import RunningServer, running_server
from rag_grpc.settings import Settings
from ragapi.v1.ingestion_service_pb2 import DeleteDocumentsRequest, DocumentRef, IngestDocumentRequest
from ragapi.v1.types_pb2 import Document
from tests.e2e.bare_client import Stubs
from tests.e2e.real_prometheus import alerts, prometheus, sample

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yml"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"\b(\d+)([smhd])\b")

INTERVAL = 1.0
"""Of the canary here, in seconds."""
FACTOR = Settings().canary_interval / INTERVAL
GOLDEN = [f"question number {number}" for number in range(20)]
OTHERS = [f"something else, {number}" for number in range(20)]
RECALL = 'rag_quality_score{origin="canary",measure="recall@10"}'


def shortened(text: str) -> str:
    """Rules with every duration in a range, an offset or a `for` divided by FACTOR."""
    rules = yaml.safe_load(text)
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[[^\]]+\]|offset \w+", lambda found: _short(found[0]), rule["expr"])
            if "for" in rule:
                rule["for"] = _short(rule["for"])
    return json.dumps(rules)  # JSON is YAML


def _short(text: str) -> str:
    # Down to a tenth of a second: two looks at least.
    return DURATION.sub(lambda found: f"{max(100, int(1000 * _seconds(found) / FACTOR))}ms", text)


def _seconds(found: re.Match[str]) -> int:
    return int(found[1]) * UNITS[found[2]]


def test_only_durations_are_made_shorter() -> None:
    text = RULES.read_text("utf-8")
    before, after = yaml.safe_load(text), yaml.safe_load(shortened(text))

    def without_durations(rules: dict[str, Any]) -> str:
        masked = re.sub(r"\[(\d+\w+)\]", "[]", json.dumps(rules))
        return re.sub(r'"for": "\d+\w+"', '"for": ""', masked)

    assert without_durations(before) == without_durations(after)
    fell = next(rule for rule in after["groups"][-1]["rules"] if rule["alert"] == "RagQualityFell")
    assert fell["for"] == "1333ms"
    assert "[672000ms]" in fell["expr"]


@asynccontextmanager
async def watched(settings: Settings, folder: Path) -> AsyncIterator[tuple[RunningServer, Stubs, str]]:
    """A server whose golden set is answered well, and the Prometheus that watches it with our rules."""
    rules = folder / "rules.yml"
    rules.write_text(shortened(RULES.read_text("utf-8")))
    async with (
        running_server(settings) as server,
        grpc.aio.insecure_channel(server.grpc_address) as channel,
    ):
        stubs = Stubs(channel)
        await ingest(stubs, [*GOLDEN, *OTHERS])
        async with asyncio.timeout(30):
            while recall(server) != 1.0:  # noqa: ASYNC110 # what it asked before they were there is past
                await asyncio.sleep(0.02)
        async with prometheus(folder, server.http_address, rules=rules, interval="250ms") as url:
            yield server, stubs, url


def recall(server: RunningServer) -> float | None:
    labels = {"collection": "default", "measure": "recall@10", "origin": "canary"}
    return server.registry.get_sample_value("rag_quality_score", labels)


async def ingest(stubs: Stubs, texts: list[str]) -> None:
    for text in texts:
        document = Document(doc_id=text, text=text)
        await stubs.ingestion.IngestDocument(IngestDocumentRequest(document=document))


async def delete(stubs: Stubs, texts: list[str]) -> None:
    gone = [DocumentRef(doc_id=text) for text in texts]
    await stubs.ingestion.DeleteDocuments(DeleteDocumentsRequest(documents=gone))


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    while not await true():  # noqa: ASYNC110 # another process, which only answers
        await asyncio.sleep(0.1)


async def firing(url: str) -> dict[str, dict[str, Any]]:
    return {
        f"{alert['labels']['alertname']} {alert['labels'].get('measure', '')}".strip(): alert
        for alert in await alerts(url)
        if alert["state"] == "firing"
    }


@pytest.mark.slow
@pytest.mark.parametrize("store_name", ["embedded"])
async def test_half_of_a_golden_set_deleted_fires_the_alert(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "canary.jsonl"
    file.write_text("\n".join(json.dumps({"query": text, "relevance": {text: 1}}) for text in GOLDEN))
    settings = replace(settings, canary_file=file, canary_interval=INTERVAL)
    async with asyncio.timeout(100), watched(settings, tmp_path) as (server, stubs, url):
        # What is usual, for long enough to be the median of what follows; and other documents deleted.
        await until(lambda: _has(url, f"count_over_time({RECALL}[1h]) > 60"))
        await delete(stubs, OTHERS)
        await until(lambda: _has(url, f"count_over_time({RECALL}[1h]) > 80"))
        assert await sample(url, f"min_over_time({RECALL}[1h])") == 1.0
        assert await firing(url) == {}

        await delete(stubs, GOLDEN[::2])
        await until(lambda: _fires(url, "RagQualityFell recall@10"))
        alert = (await firing(url))["RagQualityFell recall@10"]
        assert alert["labels"] == {
            "alertname": "RagQualityFell",
            "collection": "default",
            "instance": server.http_address,
            "job": "rag-grpc",
            "measure": "recall@10",
            "origin": "canary",
            "severity": "ticket",
        }
        assert alert["annotations"]["summary"] == (
            f"default answers worse than it did, on {server.http_address}"
        )
        assert alert["annotations"]["description"].startswith("recall@10 of the canary's questions is 0.50,")
        # It is quality that fell, and nothing else is the matter.
        assert {name.partition(" ")[0] for name in await firing(url)} == {"RagQualityFell"}

        # Once the documents are there again, it ends.
        await ingest(stubs, GOLDEN[::2])
        await until(lambda: _silent(url))


async def _has(url: str, query: str) -> bool:
    return await sample(url, query) is not None


async def _fires(url: str, name: str) -> bool:
    return name in await firing(url)


async def _silent(url: str) -> bool:
    return not await firing(url)

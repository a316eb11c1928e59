"""What a server that was used has on /metrics, for the tests of all that names metrics."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from pathlib import Path

import grpc
import pytest
from prometheus_client.metrics_core import Metric

from rag_grpc.app import running_server
from rag_grpc.settings import Settings
from ragapi.v1.ingestion_service_pb2 import IngestDocumentRequest
from ragapi.v1.retrieval_service_pb2 import QueryRequest
from ragapi.v1.types_pb2 import Document
from tests.e2e.bare_client import Stubs
from tests.repository.promql import Metrics, Series

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
ROW = re.compile(
    r"^\| `([a-z_]+)` \| (?:counter|gauge|histogram|info) \| ?([a-z_, ]*) \| ([^|]+) \|$", re.MULTILINE
)
SUFFIXES = {"counter": ("_total",), "info": ("_info",), "histogram": ("_bucket", "_count", "_sum")}


def families_of_a_used_server(folder: Path) -> list[Metric]:
    """Every family of metrics, of a server that took a document, and answered a query and its own canary."""

    (folder / "canary.jsonl").write_text('{"query": "a", "relevance": {"a": 1}, "answer": "It is there."}')

    async def use() -> list[Metric]:
        settings = Settings(
            listen="127.0.0.1:0",
            http_listen="127.0.0.1:0",
            data_dir=folder / "data",
            canary_file=folder / "canary.jsonl",
            drain_pause=0.0,
            disk_reserve_bytes=0,
        )
        async with (
            running_server(settings) as server,
            grpc.aio.insecure_channel(server.grpc_address) as channel,
        ):
            stubs = Stubs(channel)
            document = Document(doc_id="a", text="what is measured is there")
            await stubs.ingestion.IngestDocument(IngestDocumentRequest(document=document))
            await stubs.retrieval.Query(QueryRequest(query="measured"))
            async with asyncio.timeout(30):
                while server.canary is None or not server.canary.state.runs:  # noqa: ASYNC110 # made for scrapers
                    await asyncio.sleep(0.01)
            return list(server.registry.collect())

    return asyncio.run(use())


@pytest.fixture(scope="session")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Metrics:
    """Every series' name that a server has, with its labels and the values that these have.

    Of a family that is empty in a server as small as this one, the labels are those that are
    documented. Values that come only sometimes are those that its row names.
    """
    rows = {name: (labels, words) for name, labels, words in ROW.findall(OPERATIONS.read_text("utf-8"))}
    there: dict[str, Series] = {}
    for family in families_of_a_used_server(tmp_path_factory.mktemp("used")):
        names = [family.name + suffix for suffix in SUFFIXES.get(family.type, ("",))]
        shown = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels, words = rows.get(shown, ("", ""))
        values: dict[str, set[str]] = defaultdict(set)
        for sample in family.samples:
            for label, value in sample.labels.items():
                values[label].add(value)
        for label in values or filter(None, labels.split(", ")):
            values[label] |= set(re.findall(r"`([^`]+)`", words))
        if "grpc_code" in values:
            values["grpc_code"] |= {code.name for code in grpc.StatusCode}
        for name in names:
            own = set(values) | ({"le"} if name.endswith("_bucket") else set())
            own -= set() if name.endswith("_bucket") else {"le"}
            there[name] = Series(frozenset(own), {key: frozenset(values[key]) for key in own})
    return there

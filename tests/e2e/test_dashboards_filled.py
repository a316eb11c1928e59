"""Every panel shows something: its expressions are asked of a real Prometheus that watches a used server.

tests/repository checks that all names exist. That is not enough: two sides of an expression may
have labels that never meet, or a quantile may be taken of something without buckets.
"""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from rag_grpc.app import running_server
from rag_grpc.settings import Settings
from ragapi.v1.collection_service_pb2 import GetCollectionRequest
from ragapi.v1.generation_service_pb2 import AnswerOptions, GenerateAnswerRequest
from ragapi.v1.generation_service_pb2_grpc import GenerationServiceStub
from ragapi.v1.ingestion_service_pb2 import DeleteDocumentsRequest, DocumentRef, IngestDocumentRequest
from ragapi.v1.retrieval_service_pb2 import QueryRequest
from ragapi.v1.types_pb2 import Document
from tests.e2e.bare_client import Stubs
from tests.e2e.real_prometheus import get, prometheus, sample
from tests.repository.test_dashboards import BOARDS, expanded, panels

MAY_BE_EMPTY = {
    "Errors by method": "nothing fails here",
    "Evaluations": "nobody evaluated",
    "Questions from the page": "nobody asks in a browser here",
    "Tokens": "no model is asked here",
}
"""Panels without anything to show in a server that is well, and why."""


@asynccontextmanager
async def used(settings: Settings, folder: Path) -> AsyncIterator[str]:
    """A Prometheus over a server with a graph and a canary, that is written to, asked, and asked wrongly."""
    async with (
        running_server(settings) as server,
        grpc.aio.insecure_channel(server.grpc_address) as channel,
        prometheus(folder, server.http_address, interval="250ms") as url,
    ):
        stubs = Stubs(channel)
        generation: Any = GenerationServiceStub(channel)

        async def use() -> None:
            for number in range(100_000):
                document = Document(doc_id=f"d{number}", text=f"text number {number}")
                await stubs.ingestion.IngestDocument(IngestDocumentRequest(document=document))
                await stubs.retrieval.Query(QueryRequest(query=f"number {number}"))
                asked = AnswerOptions(retrieval=QueryRequest(query=f"number {number}"))
                await generation.GenerateAnswer(GenerateAnswerRequest(options=asked))
                gone = [DocumentRef(doc_id=f"d{number // 2}")]
                await stubs.ingestion.DeleteDocuments(DeleteDocumentsRequest(documents=gone))
                with suppress(grpc.aio.AioRpcError):
                    await stubs.collections.GetCollection(GetCollectionRequest(name="nowhere"))
                await asyncio.sleep(0.05)

        using = asyncio.create_task(use())
        try:
            yield url
        finally:
            using.cancel()


async def answered(url: str, query: str) -> list[Any]:
    """What Prometheus answers. An expression that it does not take is an HTTP error, which fails the test."""
    text = await get(f"{url}/api/v1/query?query={urllib.parse.quote(query)}")
    result: list[Any] = json.loads(text)["data"]["result"]
    return result


@pytest.mark.slow
@pytest.mark.parametrize("store_name", ["embedded"])
async def test_every_panel_of_a_used_server_shows_something(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "canary.jsonl"
    file.write_text('{"query": "number 7", "relevance": {"d7": 1}, "answer": "It is text number 7."}')
    settings = replace(settings, canary_file=file, canary_interval=1.0, graph_from=4)
    async with asyncio.timeout(100), used(settings, tmp_path) as url:
        while (await sample(url, "count_over_time(rag_chunks[1m])") or 0) < 40:  # noqa: ASYNC110 # it is another process
            await asyncio.sleep(0.2)
        empty = {
            f"{name}: {panel['title']}: {target['expr']}"
            for name, board in BOARDS.items()
            for panel in panels(board)
            for target in panel["targets"]
            if panel["title"] not in MAY_BE_EMPTY
            and not await answered(url, expanded(target["expr"], board).replace("[5m]", "[5s]"))
        }
        assert empty == set()


def test_what_may_be_empty_is_there() -> None:
    assert {panel["title"] for board in BOARDS.values() for panel in panels(board)} >= MAY_BE_EMPTY.keys()

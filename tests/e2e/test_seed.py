"""The four calls of the idea's first sketch, by stubs and by what people have at a shell."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from prometheus_client.parser import text_string_to_metric_families

from rag_grpc.app import RunningServer, listening_server
from rag_grpc.settings import Settings
from ragapi.v1 import health_service_pb2 as health
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.types_pb2 import Document
from tests.e2e.bare_client import Stubs
from tests.e2e.programs import run
from tests.e2e.real_prometheus import get, prometheus, sample

HANDLED = "grpc_server_handled_total"


def handled(metrics: str, method: str) -> float:
    """How many calls of a method ended well, by the text of /metrics."""
    for family in text_string_to_metric_families(metrics):
        for each in family.samples:
            labels = each.labels
            if (each.name, labels.get("grpc_method"), labels.get("grpc_code")) == (HANDLED, method, "OK"):
                return float(each.value)
    raise AssertionError(f"there is no {HANDLED} of {method}")


async def test_the_four_calls_by_stubs(server: RunningServer, channel: grpc.aio.Channel) -> None:
    stubs = Stubs(channel)
    pong = await stubs.health.Ping(health.PingRequest())
    assert (pong.status, pong.message) == ("ok", "pong")

    for doc_id, text in (("doc_1", "hello"), ("doc_2", "goodbye moon")):
        request = ingestion.IngestDocumentRequest(document=Document(doc_id=doc_id, text=text))
        stored = await stubs.ingestion.IngestDocument(request)
        assert (stored.doc_id, stored.status) == (doc_id, ingestion.INGEST_STATUS_CREATED)
        assert stored.chunk_count == 1

    asked = retrieval.QueryRequest(query="hello", mode=retrieval.SEARCH_MODE_DENSE)
    answer = await stubs.retrieval.Query(asked)
    assert [hit.doc_id for hit in answer.results] == ["doc_1", "doc_2"]
    assert answer.results[0].score >= 0.999
    assert answer.results[1].score < answer.results[0].score
    assert answer.results[0].chunk.text == "hello"

    metrics = await get(f"http://{server.http_address}/metrics")
    assert handled(metrics, "Ping") == 1
    assert handled(metrics, "IngestDocument") == 2
    assert handled(metrics, "Query") == 1


async def grpcurl(address: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
    """Call a method as the README does: by reflection, without any of our protos."""
    ended = await run("grpcurl", "-plaintext", "-d", json.dumps(request), address, f"ragapi.v1.{method}")
    assert ended.code == 0, ended.stderr
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer


async def test_the_four_calls_at_a_shell(server: RunningServer) -> None:
    address = server.grpc_address
    assert await grpcurl(address, "HealthService/Ping", {}) == {"status": "ok", "message": "pong"}
    for doc_id, text in (("doc_1", "hello"), ("doc_2", "goodbye moon")):
        document = {"doc_id": doc_id, "text": text}
        stored = await grpcurl(address, "IngestionService/IngestDocument", {"document": document})
        assert stored["status"] == "INGEST_STATUS_CREATED"
    asked = {"query": "hello", "mode": "SEARCH_MODE_DENSE"}
    answer = await grpcurl(address, "RetrievalService/Query", asked)
    first, second = answer["results"]
    assert (first["doc_id"], second["doc_id"]) == ("doc_1", "doc_2")
    assert first["score"] >= 0.999 > second.get("score", 0.0)  # JSON leaves zeros out

    shown = await run("curl", "--fail", "--silent", "--show-error", f"http://{server.http_address}/metrics")
    assert shown.code == 0, shown.stderr
    assert handled(shown.stdout, "IngestDocument") == 2


async def test_promtool_is_content_with_the_metrics(server: RunningServer, channel: grpc.aio.Channel) -> None:
    stubs = Stubs(channel)
    await stubs.ingestion.IngestDocument(
        ingestion.IngestDocumentRequest(document=Document(doc_id="d", text="hello"))
    )
    await stubs.retrieval.Query(retrieval.QueryRequest(query="hello"))
    metrics = await get(f"http://{server.http_address}/metrics")
    checked = await run("promtool", "check", "metrics", stdin=metrics)
    assert (checked.code, checked.stdout, checked.stderr) == (0, "", "")


async def test_a_real_prometheus_scrapes_the_metrics(
    server: RunningServer, channel: grpc.aio.Channel, tmp_path: Path
) -> None:
    await Stubs(channel).health.Ping(health.PingRequest())
    pings = f'{HANDLED}{{grpc_method="Ping",grpc_code="OK"}}'
    async with prometheus(tmp_path, server.http_address) as url, asyncio.timeout(60):
        while (value := await sample(url, pings)) is None:  # noqa: ASYNC110 # another process, which only answers
            await asyncio.sleep(0.2)
        assert value == 1
        assert await sample(url, "up") == 1
        assert await sample(url, "rag_documents") == 0


async def health_probe(address: str, service: str = "") -> int:
    ended = await run("grpc_health_probe", f"-addr={address}", f"-service={service}")
    return ended.code


async def test_the_health_probe_tells_loading_serving_and_draining(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(listening_server(settings))
        address = server.grpc_address
        assert await health_probe(address) != 0
        assert await health_probe(address, "ragapi.v1.RetrievalService") != 0
        await server.load()
        assert await health_probe(address) == 0
        assert await health_probe(address, "ragapi.v1.IngestionService") == 0

        # A drain that pauses for load balancers still answers, and says what they are to do.
        server.ending.pause = 60.0
        async with grpc.aio.insecure_channel(address) as channel:
            states = HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await states.read()).status == health_pb2.HealthCheckResponse.SERVING
            leaving = asyncio.create_task(stack.aclose())
            assert (await states.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert await health_probe(address) != 0
            assert await health_probe(address, "ragapi.v1.RetrievalService") != 0
            server.ending.hastened.set()
            await leaving
    assert await health_probe(address) != 0

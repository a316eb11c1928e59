"""A server with models of its own: loaded before it serves, told of, used, and guarded against mixing."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rag_grpc.app import listening_server, running_server
from rag_grpc.embedders.fastembed import FastembedEmbedder
from rag_grpc.environment import SettingsFault
from rag_grpc.settings import Settings
from ragapi.v1.collection_service_pb2 import Collection, CreateCollectionRequest, GetCollectionRequest
from ragapi.v1.health_service_pb2 import GetServerInfoRequest, PingRequest
from ragapi.v1.ingestion_service_pb2 import IngestDocumentRequest
from ragapi.v1.retrieval_service_pb2 import SEARCH_MODE_DENSE, CrossEncoder, QueryRequest, Rerank
from ragapi.v1.types_pb2 import Document
from tests.contracts.embeddings_server import DIMENSION as FAR_DIMENSION
from tests.contracts.embeddings_server import embeddings_server, stall
from tests.contracts.tiny_models import DIMENSION, tiny_embedder, tiny_pair_model
from tests.e2e.bare_client import Stubs

TEXTS = {"ships": "a harbour full of ships", "birds": "nine quick jackdaws"}


@pytest.fixture
def store_name() -> str:
    """What is tested here is the same over every store that lasts."""
    return "embedded"


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[Stubs]:
    async with (
        running_server(settings) as server,
        grpc.aio.insecure_channel(server.grpc_address) as channel,
    ):
        yield Stubs(channel)


async def ingest(stubs: Stubs, collection: str) -> None:
    for doc_id, text in TEXTS.items():
        document = Document(doc_id=doc_id, text=text)
        await stubs.ingestion.IngestDocument(
            IngestDocumentRequest(collection=collection, document=document), timeout=20
        )


async def first_hit(stubs: Stubs, collection: str, query: str) -> str:
    asked = QueryRequest(collection=collection, query=query, mode=SEARCH_MODE_DENSE)
    answer = await stubs.retrieval.Query(asked, timeout=20)
    doc_id: str = answer.results[0].doc_id
    return doc_id


async def refusal(stubs: Stubs, collection: str) -> tuple[grpc.StatusCode, str, float | None]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await first_hit(stubs, collection, "ships")
    reason, retry = "", None
    metadata: Any = caught.value.trailing_metadata()
    trailing = dict(metadata)
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    for detail in status.details:
        info, again = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(again):
            retry = again.retry_delay.ToTimedelta().total_seconds()
    return caught.value.code(), reason, retry


async def test_models_are_told_of_used_and_guarded(settings: Settings, tmp_path: Path) -> None:
    model, pair = tiny_embedder(tmp_path / "model"), tiny_pair_model(tmp_path / "pair")
    with_models = replace(
        settings, embedders=(f"tiny=fastembed:{model}", "mock"), rerankers=(f"cross=fastembed:{pair}",)
    )
    async with served(with_models) as stubs:
        info = await stubs.health.GetServerInfo(GetServerInfoRequest())
        assert [(each.name, each.dimension) for each in info.embedders] == [
            ("tiny", DIMENSION),
            ("mock", 384),
        ]
        assert list(info.rerankers) == ["cross"]
        for name, embedder in (("far", "tiny"), ("near", "mock")):
            made = Collection(name=name, embedder=embedder)
            await stubs.collections.CreateCollection(CreateCollectionRequest(collection=made))
            await ingest(stubs, name)
            assert await first_hit(stubs, name, "harbour") == "ships"
        rerank = Rerank(cross_encoder=CrossEncoder())
        asked = QueryRequest(collection="near", query="full of ships", rerank=rerank)
        reranked = await stubs.retrieval.Query(asked, timeout=20)
        assert reranked.results[0].doc_id == "ships"
        assert reranked.results[0].score > reranked.results[1].score
        rerank.cross_encoder.model = "nobody"
        with pytest.raises(grpc.aio.AioRpcError, match="nobody") as caught:
            await stubs.retrieval.Query(
                QueryRequest(collection="near", query="full of ships", rerank=rerank), timeout=20
            )
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        kept = await stubs.collections.GetCollection(GetCollectionRequest(name="default"))
        assert kept.collection.embedder_fingerprint == info.embedders[0].fingerprint
    # The same model elsewhere is the same model; another one under its name is not.
    moved = replace(settings, embedders=(f"tiny=fastembed:{shutil.copytree(model, tmp_path / 'moved')}",))
    async with served(moved) as stubs:
        assert await first_hit(stubs, "far", "harbour") == "ships"
    other = tiny_embedder(tmp_path / "other", quantised=True)
    async with served(replace(settings, embedders=(f"tiny=fastembed:{other}",))) as stubs:
        code, reason, _ = await refusal(stubs, "far")
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "EMBEDDER_MISMATCH")


async def test_while_a_model_loads_the_server_answers_that_it_is_not_ready(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    load = FastembedEmbedder.load

    def slow(embedder: FastembedEmbedder) -> None:
        assert goes_on.wait(20)
        load(embedder)

    monkeypatch.setattr(FastembedEmbedder, "load", slow)
    made = replace(settings, embedders=(f"tiny=fastembed:{tiny_embedder(tmp_path / 'model')}",))
    async with listening_server(made) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        stubs, health = Stubs(channel), health_pb2_grpc.HealthStub(channel)
        loading = asyncio.create_task(server.load())
        assert (await stubs.health.Ping(PingRequest(), timeout=10)).status == "ok"
        told = await health.Check(health_pb2.HealthCheckRequest())
        assert told.status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stubs.health.GetServerInfo(GetServerInfoRequest())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        goes_on.set()
        await loading
        told = await health.Check(health_pb2.HealthCheckRequest())
        assert told.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_model_that_cannot_be_loaded_ends_the_start(settings: Settings, tmp_path: Path) -> None:
    model = tiny_embedder(tmp_path / "model")
    (model / "model.onnx").write_bytes(b"rubbish")
    with pytest.raises(SettingsFault, match=r"RAG_EMBEDDERS: tiny: .* cannot be loaded"):
        async with running_server(replace(settings, embedders=(f"tiny=fastembed:{model}",))):
            raise AssertionError("it cannot serve")


async def test_an_endpoint_that_is_away_is_told_and_holds_up_nothing_else(settings: Settings) -> None:
    with embeddings_server() as endpoint:
        far = f"far=openai:letters?base_url={endpoint.url}&dimension={FAR_DIMENSION}"
        made = replace(
            settings, embedders=("mock", far), openai_timeout=60.0, openai_retries=0, query_cache_bytes=0
        )
        async with served(made) as stubs:
            await stubs.collections.CreateCollection(
                CreateCollectionRequest(collection=Collection(name="far", embedder="far"))
            )
            await ingest(stubs, "far")
            await ingest(stubs, "default")
            assert await first_hit(stubs, "far", "harbour full ships") == "ships"
            endpoint.orders.append(stall)
            endpoint.arrived.clear()
            waiting = asyncio.create_task(first_hit(stubs, "far", "ships"))
            assert await asyncio.to_thread(endpoint.arrived.wait, 10)
            assert await first_hit(stubs, "default", "harbour") == "ships"
            waiting.cancel()
        # The stop did not wait for the endpoint; what is left of the minute shows it.
        assert not endpoint.ending.is_set()


async def test_what_an_endpoint_answers_wrongly_is_unavailable(settings: Settings) -> None:
    with embeddings_server() as endpoint:
        url, dimension = endpoint.url, FAR_DIMENSION + 1
        far = f"far=openai:letters?base_url={url}&dimension={dimension}"
        async with served(replace(settings, embedders=("mock", far))) as stubs:
            await stubs.collections.CreateCollection(
                CreateCollectionRequest(collection=Collection(name="far", embedder="far"))
            )
            code, reason, _ = await refusal(stubs, "far")
            assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE")
        endpoint.ending.set()
    async with served(replace(settings, embedders=("mock", far), openai_retries=0)) as stubs:
        code, reason, retry = await refusal(stubs, "far")
        assert (code, reason, retry) == (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE", 1.0)

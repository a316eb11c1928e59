"""The production server, on free ports, with each store: what is tested is what runs."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from rag_grpc.app import RunningServer, running_server
from rag_grpc.settings import Settings
from ragapi.v1.collection_service_pb2 import Collection, CreateCollectionRequest
from ragapi.v1.health_service_pb2 import PingRequest
from ragapi.v1.ingestion_service_pb2 import IngestDocumentRequest
from ragapi.v1.retrieval_service_pb2 import QueryRequest
from ragapi.v1.types_pb2 import Document
from tests.e2e.bare_client import Stubs
from tests.e2e.browser import Browser, running_browser
from tests.e2e.valid_requests import DIMENSION
from tests.rounds import SHARE


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where not all rounds are played, what takes long is played on the default store alone."""
    left = [each for each in items if SHARE < 1 and _takes_long(each) and _store_of(each) == "memory"]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [each for each in items if each not in left]


def _takes_long(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None or "browser" in getattr(item, "fixturenames", ())


def _store_of(item: pytest.Item) -> object:
    called = getattr(item, "callspec", None)
    return None if called is None else called.params.get("store_name")


@pytest.fixture(params=["memory", "embedded"])
def store_name(request: pytest.FixtureRequest) -> str:
    """Each store in turn."""
    name: str = request.param
    return name


@pytest.fixture
def settings(store_name: str, tmp_path: Path) -> Settings:
    """Settings of a server for one test: free ports, a folder of its own, no pauses.

    Other ones: `dataclasses.replace(settings, max_reads=1)`, handed to `running_server`.
    """
    return Settings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        data_dir=tmp_path / "data",
        store=store_name,
        drain_pause=0.0,
        grace=5.0,
        disk_reserve_bytes=0,
    )


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[RunningServer]:
    """A server that serves."""
    async with running_server(settings) as running:
        yield running


@pytest.fixture
async def channel(server: RunningServer) -> AsyncIterator[Any]:
    """A bare channel to `server`, with gRPC's own limits and no retries."""
    async with grpc.aio.insecure_channel(server.grpc_address) as opened:
        yield opened


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The one Chromium of a run: a start takes a second."""
    with running_browser() as running:
        yield running


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A Chromium with an empty page, 1280 pixels wide and light."""
    chromium.forget()
    yield chromium
    chromium.forget()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["memory", "embedded"])
async def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[grpc.aio.Channel]:
    """A bare channel to a server that all tests of a module share; at the end it must still serve.

    It has a document "kept", and a collection "vectors" that has no embedder.
    """
    settings = Settings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        data_dir=tmp_path_factory.mktemp("served") / "data",
        store=request.param,
        drain_pause=0.0,
        disk_reserve_bytes=0,
    )
    async with running_server(settings) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        stubs = Stubs(channel)
        vectors = Collection(name="vectors", embedder="none", dimension=DIMENSION)
        await stubs.collections.CreateCollection(CreateCollectionRequest(collection=vectors))
        await _stored_and_found(stubs, "kept")
        yield channel
        await stubs.health.Ping(PingRequest())
        await _stored_and_found(stubs, "last")


async def _stored_and_found(stubs: Stubs, doc_id: str) -> None:
    text = f"the {doc_id} word"
    document = Document(doc_id=doc_id, text=text)
    await stubs.ingestion.IngestDocument(IngestDocumentRequest(document=document))
    answer = await stubs.retrieval.Query(QueryRequest(query=text))
    assert answer.results[0].doc_id == doc_id

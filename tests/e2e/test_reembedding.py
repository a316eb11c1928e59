"""Another embedder for a collection, through the production server, the real client and ragctl."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_client import AsyncRagClient, Document, errors
from rag_grpc import model_set
from rag_grpc.app import RunningServer, running_server
from rag_grpc.core.errors import ModelUnavailable
from rag_grpc.settings import Settings
from tests.contracts.fakes import LetterEmbedder
from tests.e2e.programs import run

DOCUMENTS = 300


class Failing(LetterEmbedder):
    """Fails for documents while it is `down`."""

    down = False

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.down:
            raise ModelUnavailable("the model is down")
        return super().embed(texts)


class Models:
    """The embedders of the servers of one test."""

    def __init__(self) -> None:
        self.old = LetterEmbedder(name="old", fingerprint="old/1", dimension=8, max_batch=64)
        self.new = Failing(name="new", fingerprint="new/1", dimension=5, max_batch=64)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    models = Models()
    monkeypatch.setitem(model_set.EMBEDDERS, "old", lambda: models.old)
    monkeypatch.setitem(model_set.EMBEDDERS, "new", lambda: models.new)
    return models


@pytest.fixture
def settings(settings: Settings, models: Models) -> Settings:
    assert models.old.name == "old"
    return replace(settings, embedders=("old", "new"), graph_from=64)


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[AsyncRagClient]:
    async with AsyncRagClient(server.grpc_address) as client:
        await client.ingest_documents([document(f"d{number}") for number in range(DOCUMENTS)])
        yield client


def document(doc_id: str, words: str = "") -> Document:
    return Document(doc_id, words or f"what is said in {doc_id}")


async def last_of(client: AsyncRagClient, embedder: str) -> Any:
    steps = [step async for step in client.reembed_collection("default", embedder)]
    assert all(step.collection is None for step in steps[:-1])
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    return steps[-1]


def scored_by(model: LetterEmbedder, query: str, texts: Sequence[str], scores: Sequence[float]) -> bool:
    """Whether these are the scores of one model."""
    rows = LetterEmbedder.embed(model, [query, *texts])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return bool(np.allclose(rows[1:] @ rows[0], scores, atol=1e-5))


async def test_all_goes_on_and_no_answer_mixes_models(client: AsyncRagClient, models: Models) -> None:
    over = asyncio.Event()
    seen: list[str] = []
    written: dict[str, str] = {}

    async def ask() -> None:
        for number in count():
            if over.is_set():
                return
            query, moved = f"d{number % DOCUMENTS} said", "new" in seen
            answer = await client.query(query, mode="dense", top_k=10)
            texts, scores = (
                [hit.chunk.text for hit in answer.hits],
                [hit.score for hit in answer.hits],
            )
            by = [each for each in (models.old, models.new) if scored_by(each, query, texts, scores)]
            assert by, (query, texts, scores)
            if len(by) == 1:
                assert not (moved and by[0] is models.old), "the old model answered after the new one"
                seen.append(by[0].name)

    async def write() -> None:
        for number in count():
            if over.is_set():
                return
            doc_id = f"d{(7 * number) % (2 * DOCUMENTS)}"
            await client.ingest_document(document(doc_id, f"version {number} of {doc_id}"))
            written[doc_id] = f"version {number} of {doc_id}"
            if number % 5 == 0:
                await client.update_metadata("d1", {"number": number})

    tasks = [asyncio.create_task(each) for each in (ask(), ask(), write())]
    last = await last_of(client, "new")
    over.set()
    await asyncio.gather(*tasks)
    assert (last.collection.embedder, last.collection.dimension) == ("new", 5)
    answer = await client.query("said", mode="dense", top_k=1000, exact=True)
    found = {hit.doc_id: hit.chunk.text for hit in answer.hits}
    assert found == {f"d{number}": f"what is said in d{number}" for number in range(DOCUMENTS)} | written
    assert scored_by(models.new, "said", list(found.values()), [hit.score for hit in answer.hits])
    again = await client.ingest_documents([document(doc_id, text) for doc_id, text in written.items()])
    assert {each.status for each in again} == {"unchanged"}


async def test_a_model_that_is_down_stops_it_and_nothing_is_lost(
    client: AsyncRagClient, models: Models
) -> None:
    models.new.down = True
    with pytest.raises(errors.ModelUnavailableError, match="cannot be embedded: the model is down"):
        await last_of(client, "new")
    assert (await client.get_collection()).embedder == "old"
    models.new.down = False
    last = await last_of(client, "new")
    assert (last.done, last.total) == (DOCUMENTS, DOCUMENTS)
    assert (await last_of(client, "new")).collection == last.collection


async def test_leaving_stops_it(client: AsyncRagClient, models: Models) -> None:
    models.new.max_batch = 1
    async with aclosing(client.reembed_collection("default", "new")) as steps:
        async for _ in steps:
            break
    last = await last_of(client, "new")
    assert last.collection.embedder == "new"


async def test_what_cannot_be_reembedded(client: AsyncRagClient) -> None:
    with pytest.raises(errors.InvalidFieldError):
        await last_of(client, "none")
    with pytest.raises(errors.NotConfiguredError):
        await last_of(client, "unheard-of")


async def test_ragctl_reembeds(server: RunningServer, client: AsyncRagClient) -> None:
    ended = await run("ragctl", "reembed", "default", "new", "--json", "--server", server.grpc_address)
    assert (ended.code, ended.stderr) == (0, "")
    last = json.loads(ended.stdout.splitlines()[-1])
    assert last["done"] == last["total"] == DOCUMENTS
    assert (await client.get_collection()).embedder == "new"


@pytest.mark.parametrize("store_name", ["embedded"])
async def test_a_model_that_changed_under_its_name(settings: Settings, models: Models) -> None:
    async with running_server(settings) as server, AsyncRagClient(server.grpc_address) as client:
        await client.ingest_documents([document(f"d{number}") for number in range(DOCUMENTS)])
    models.old.fingerprint, models.old.dimension = "old/2", 6
    async with running_server(settings) as server, AsyncRagClient(server.grpc_address) as client:
        with pytest.raises(errors.EmbedderMismatchError):
            await client.query("said")
        last = await last_of(client, "old")
        assert (last.collection.embedder_fingerprint, last.collection.dimension) == ("old/2", 6)
        assert len((await client.query("said", mode="dense", top_k=10)).hits) == 10
    async with running_server(settings) as server, AsyncRagClient(server.grpc_address) as client:
        assert len((await client.query("said", mode="dense", top_k=1000)).hits) == DOCUMENTS

"""What readers see while documents are replaced, and which of racing writes is the last."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import numpy as np
import pytest

from rag_grpc import model_set
from rag_grpc.app import running_server
from rag_grpc.core.model_ports import Embedder
from rag_grpc.settings import Settings
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.collection_service_pb2 import Collection, CreateCollectionRequest
from ragapi.v1.types_pb2 import Chunk, Document, Vector
from tests.contracts.embedder_contract import EmbedderContract
from tests.e2e import versioned_documents as versioned
from tests.e2e.bare_client import RPCS, Stubs, answer_of, send
from tests.e2e.sleepy_embedder import SleepyEmbedder
from tests.rounds import rounds

# ---------------------------------------------------------------------------- views

WHERE = "versions"
REPLACEMENTS = rounds(10_000)
DOCUMENTS = 25
PAUSE = 0.005
"""Seconds between two reads of a reader: else they take the processor from the writer that they watch."""
CROWD = 4500
"""Chunks that never change: with so many, the embedded store searches by its graph."""


@dataclass
class Versions:
    """Which versions may be seen: a query that begins now sees at least the answered one."""

    answered: dict[int, int] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    over: bool = False

    def check(self, number: int, version: int, at_least: int) -> None:
        assert at_least <= version <= self.sent[number]


@pytest.fixture
async def stubs(channel: grpc.aio.Channel) -> Stubs:
    return Stubs(channel)


async def store_crowd(stubs: Stubs) -> None:
    """Store chunks in all directions: what lies apart from all else, a graph finds only with luck."""
    shape = (CROWD // 50, 50, versioned.DIMENSION)
    rows = np.random.default_rng(0).standard_normal(shape).astype("<f4")
    items = []
    for number, part in enumerate(rows):
        chunks = [Chunk(text="x", vector=Vector(packed=row.tobytes())) for row in part]
        items.append(ingestion.IngestItem(document=Document(doc_id=f"crowd {number}", chunks=chunks)))
    request = ingestion.BatchIngestDocumentsRequest(collection=WHERE, items=items)
    await stubs.ingestion.BatchIngestDocuments(request)


async def replace_all(stubs: Stubs, versions: Versions, version: int) -> None:
    """Store the next version of every document, in one call or each in its own."""
    numbers = range(DOCUMENTS)
    versions.sent |= dict.fromkeys(numbers, version)
    documents = [versioned.document(number, version) for number in numbers]
    if version % 4:
        items = [ingestion.IngestItem(document=each) for each in documents]
        request = ingestion.BatchIngestDocumentsRequest(collection=WHERE, items=items)
        results = (await stubs.ingestion.BatchIngestDocuments(request)).results
    else:
        requests = [ingestion.IngestDocumentRequest(collection=WHERE, document=each) for each in documents]
        results = await asyncio.gather(*map(stubs.ingestion.IngestDocument, requests))
    expected = ingestion.INGEST_STATUS_REPLACED if version else ingestion.INGEST_STATUS_CREATED
    assert {result.status for result in results} == {expected}
    versions.answered |= dict.fromkeys(numbers, version)


async def read_some_exactly(stubs: Stubs, versions: Versions, first: int) -> None:
    """Exact queries find every chunk of each document: of one version, whole."""
    before = {number: versions.answered[number] for number in range(first, min(first + 4, DOCUMENTS))}
    queries = [
        retrieval.QueryRequest(
            collection=WHERE,
            vector=versioned.axis(number),
            exact=True,
            top_k=versioned.MOST,
            min_score=versioned.NEAR,
        )
        for number in before
    ]
    answer = await stubs.retrieval.BatchQuery(retrieval.BatchQueryRequest(queries=queries))
    for number, result in zip(before, answer.results, strict=True):
        seen = versioned.seen_in(result.response.results)
        assert set(seen) == {number}
        versions.check(number, seen[number].version(whole=True), before[number])


async def read_one_by_graph(stubs: Stubs, versions: Versions, number: int) -> None:
    """A query by the graph finds the document that is meant, in one version."""
    before = versions.answered[number]
    query = retrieval.QueryRequest(collection=WHERE, vector=versioned.axis(number), top_k=2)
    seen = versioned.seen_in((await stubs.retrieval.Query(query)).results)
    assert set(seen) == {number}
    versions.check(number, seen[number].version(whole=False), before)


async def read_document(stubs: Stubs, versions: Versions, number: int) -> None:
    before = versions.answered[number]
    request = retrieval.GetDocumentRequest(collection=WHERE, doc_id=str(number))
    read = (await stubs.retrieval.GetDocument(request)).document
    version = int(read.title)
    expected = versioned.document(number, version)
    assert (read.text, read.metadata, read.chunk_count) == (
        expected.text,
        expected.metadata,
        len(expected.chunks),
    )
    versions.check(number, version, before)


async def read_chunks(stubs: Stubs, versions: Versions, number: int) -> None:
    """The pages of a document's chunks are of one version, or the caller is told that it changed."""
    before = versions.answered[number]
    request = retrieval.ListChunksRequest(
        collection=WHERE, doc_id=str(number), page_size=2, include_vectors=True
    )
    chunks: list[Chunk] = []
    while not chunks or request.page_token:
        try:
            page = await stubs.retrieval.ListChunks(request)
        except grpc.aio.AioRpcError as error:
            if chunks and answer_of(error).reason == "REVISION_MISMATCH":
                return
            raise  # the first page is of whatever there is
        chunks += page.chunks
        request.page_token = page.next_page_token
    version = int(chunks[0].text.split()[1])
    expected = versioned.document(number, version).chunks
    assert [chunk.text for chunk in chunks] == [chunk.text for chunk in expected]
    assert [chunk.vector.packed for chunk in chunks] == [chunk.vector.packed for chunk in expected]
    versions.check(number, version, before)


@pytest.mark.slow
async def test_readers_see_one_version_of_each_document_and_all_of_it(stubs: Stubs) -> None:
    made = Collection(name=WHERE, embedder="none", dimension=versioned.DIMENSION)
    await stubs.collections.CreateCollection(CreateCollectionRequest(collection=made))
    await store_crowd(stubs)
    versions = Versions()
    await replace_all(stubs, versions, 0)

    async def keep(reader: Callable[[Stubs, Versions, int], Any]) -> int:
        for count in itertools.count():
            await reader(stubs, versions, count % DOCUMENTS)
            if versions.over:
                return count
            await asyncio.sleep(PAUSE)
        raise AssertionError("it counts for ever")

    readers = [read_some_exactly, read_one_by_graph, read_document, read_chunks]
    reading = [asyncio.create_task(keep(each)) for each in readers]
    try:
        for version in range(1, REPLACEMENTS // DOCUMENTS + 1):
            await replace_all(stubs, versions, version)
            if any(task.done() for task in reading):
                break
    finally:
        versions.over = True
    counts = await asyncio.gather(*reading)
    assert min(counts) >= rounds(100)
    assert set(versions.answered.values()) == {REPLACEMENTS // DOCUMENTS}
    print(dict(zip([each.__name__ for each in readers], counts, strict=True)))  # noqa: T201 # for pytest -s


# ---------------------------------------------------------------------------- lanes

ROUNDS = rounds(1000)
LONG = "word " * 810
"""Long enough to be split in a thread, so that short texts get ahead of it."""


class TestSleepyEmbedder(EmbedderContract):
    def make_embedder(self) -> Embedder:
        return SleepyEmbedder()


@dataclass
class Embedding:
    """What the sleepy embedder has begun, as told to the event loop."""

    begun: asyncio.Queue[str]


@pytest.fixture
async def embedding(monkeypatch: pytest.MonkeyPatch) -> Embedding:
    """Put the sleepy embedder among those that a server can name."""
    told = Embedding(asyncio.Queue())
    loop = asyncio.get_running_loop()

    def begun(text: str) -> None:
        loop.call_soon_threadsafe(told.begun.put_nowait, text)

    monkeypatch.setitem(model_set.EMBEDDERS, "sleepy", lambda: SleepyEmbedder(begun))
    return told


@pytest.fixture
async def sleepy(settings: Settings, embedding: Embedding) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server whose embedder is the sleepy one."""
    async with (
        running_server(replace(settings, embedders=("sleepy",))) as server,
        grpc.aio.insecure_channel(server.grpc_address) as channel,
    ):
        yield channel


def ready(doc_id: str, text: str) -> Document:
    """A document that nothing has to be embedded for, so that it is the fastest of all."""
    (vector,) = SleepyEmbedder().embed([text])
    chunk = Chunk(text=text, vector=Vector(packed=vector.tobytes()))
    fingerprint = SleepyEmbedder().fingerprint
    return Document(doc_id=doc_id, text=text, chunks=[chunk], embedder_fingerprint=fingerprint)


def racing(doc_id: str, round_: int, chance: random.Random) -> Iterator[list[Document]]:
    """Make the writes of a round, one to three a message: slow, slower and ready ones in any order."""
    kinds = chance.sample(["ready", "at once", "slow", "slower" if round_ % 4 else "long"], 4)
    documents = []
    for place, kind in enumerate(kinds):
        text = f"round {round_}, write {place}, {kind}"
        if kind == "ready":
            documents.append(ready(doc_id, text))
            continue
        pause = {"slow": chance.randrange(1, 4), "slower": chance.randrange(4, 16)}.get(kind, 0)
        tail = LONG if kind == "long" else f"sleep {pause}"
        documents.append(Document(doc_id=doc_id, text=f"{text} {tail}"))
    cuts = sorted(chance.sample(range(1, 4), chance.randrange(4)))
    for start, end in itertools.pairwise([0, *cuts, 4]):
        yield documents[start:end]


@pytest.mark.slow
async def test_the_last_of_racing_writes_wins(sleepy: grpc.aio.Channel) -> None:
    stubs, chance = Stubs(sleepy), random.Random(0)
    stream = stubs.ingestion.StreamIngestDocuments()
    for round_ in range(ROUNDS):
        doc_id = f"document {round_ % 3}"
        messages = list(racing(doc_id, round_, chance))
        for documents in messages:
            items = [ingestion.IngestItem(document=each) for each in documents]
            await stream.write(ingestion.StreamIngestDocumentsRequest(items=items))
        revisions = []
        for _ in messages:
            response = await stream.read()
            assert not any(result.HasField("problem") for result in response.results), response
            revisions += [result.revision for result in response.results]
        assert revisions == sorted(set(revisions)), f"round {round_}"
        read = await stubs.retrieval.GetDocument(retrieval.GetDocumentRequest(doc_id=doc_id))
        assert read.document.text == messages[-1][-1].text, f"round {round_}"
        assert read.document.revision == revisions[-1]
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF  # type: ignore[attr-defined] # the type stubs lack it
    answer = await stubs.retrieval.Query(retrieval.QueryRequest(query="round", top_k=1000))
    assert {hit.doc_id for hit in answer.results} == {f"document {number}" for number in range(3)}
    last = tuple(f"round {round_}, " for round_ in range(ROUNDS - 3, ROUNDS))
    assert all(hit.chunk.text.startswith(last) or "word" in hit.chunk.text for hit in answer.results)


@pytest.mark.slow
async def test_an_earlier_write_never_survives_an_answered_deletion_of_all(
    sleepy: grpc.aio.Channel, embedding: Embedding
) -> None:
    stubs, chance = Stubs(sleepy), random.Random(1)
    everything = ingestion.DeleteDocumentsRequest(all=True)

    def write(doc_id: str, text: str) -> asyncio.Task[Any]:
        document = Document(doc_id=doc_id, text=text)
        request = ingestion.IngestDocumentRequest(document=document)
        return asyncio.create_task(send(sleepy, RPCS["IngestDocument"], request))

    for round_ in range(rounds(100)):
        earlier = [
            write(f"earlier {number}", f"round {round_} write {number} sleep {chance.randrange(1, 60)}")
            for number in range(6)
        ]
        while not embedding.begun.empty():
            embedding.begun.get_nowait()
        # Texts are unique. What the embedder has begun has its place before whatever comes from now on.
        begun = {await embedding.begun.get() for _ in range(chance.randrange(1, 4))}
        left = earlier[0] if chance.random() < 0.3 else None
        if left is not None:
            left.cancel()  # a caller who leaves: his write is withdrawn or done, but never done later
        later = write("later", f"round {round_} sleep {chance.randrange(20)}")
        await stubs.ingestion.DeleteDocuments(everything)
        listed = await documents(stubs)
        assert not [text for doc_id, text in listed.items() if doc_id != "later" and text in begun], round_
        survivor = write("survivor", f"round {round_} after all")
        await asyncio.gather(*(task for task in earlier if task is not left), later, survivor)
        listed = await documents(stubs)
        assert not [text for doc_id, text in listed.items() if doc_id != "later" and text in begun], round_
        assert "survivor" in listed


async def documents(stubs: Stubs) -> dict[str, str]:
    """Read the texts of all documents."""
    page = await stubs.retrieval.ListDocuments(retrieval.ListDocumentsRequest(include_text=True))
    return {each.doc_id: each.text for each in page.documents}

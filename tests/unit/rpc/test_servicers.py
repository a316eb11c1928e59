"""The servicers over the real core and the memory store: what a call brings, without a socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import grpc
import numpy as np
import pytest

from rag_grpc.core.answers import Answer
from rag_grpc.core.budget import ByteBudget
from rag_grpc.core.catalogue import Catalogue
from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import (
    CollectionNotFound,
    DocumentNotFound,
    InvalidField,
    LimitExceeded,
    NotConfigured,
    NotReady,
    RagError,
    RevisionMismatch,
)
from rag_grpc.core.ingestion import Ingestion
from rag_grpc.core.lanes import Lanes
from rag_grpc.core.limits import Limits
from rag_grpc.core.model_ports import Embedder
from rag_grpc.core.preparation import Workshop
from rag_grpc.core.queries import Query, QueryResult
from rag_grpc.core.reading import Reading
from rag_grpc.core.reembedding import Reembedding
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.embedders.mock import MockEmbedder
from rag_grpc.rpc import retrieval_servicer
from rag_grpc.rpc.answer_encoding import encode_answer
from rag_grpc.rpc.collection_servicer import CollectionServicer
from rag_grpc.rpc.convert import StructCodec
from rag_grpc.rpc.drain import Drain
from rag_grpc.rpc.health_servicer import ServerHealthServicer, ServerInfo
from rag_grpc.rpc.ingestion_servicer import MAX_PATIENCE, IngestionServicer, patience
from rag_grpc.rpc.retrieval_servicer import RetrievalServicer
from rag_grpc.splitters.structure import StructureSplitter
from rag_grpc.stores.memory import MemoryStore
from ragapi.v1 import collection_service_pb2 as collection_pb
from ragapi.v1 import errors_pb2, health_service_pb2
from ragapi.v1 import ingestion_service_pb2 as ingestion_pb
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb
from ragapi.v1.types_pb2 import Chunk, Document, Vector
from tests.contracts.fakes import LetterEmbedder

SMALL = 20_000


class Silence:
    """A Telemetry that takes nothing down."""

    def stage(self, name: str, seconds: float) -> None: ...

    def batch(self, kind: str, size: int) -> None: ...

    def turned_away(self, reason: str) -> None: ...

    def event(self, name: str) -> None: ...

    def answered(self, answer: Answer, *, removed_citations: int) -> None: ...


class Context:
    """What a servicer asks of gRPC's context."""

    def __init__(self, remaining: float | None = None, messages: tuple[object, ...] = ()) -> None:
        self._remaining = remaining
        self._messages = iter(messages)
        self.written: list[Any] = []

    def time_remaining(self) -> float | None:
        return self._remaining

    async def read(self) -> object:
        return next(self._messages, grpc.aio.EOF)  # type: ignore[attr-defined] # the type stubs lack it

    async def write(self, message: object) -> None:
        self.written.append(message)


CONTEXT: Any = Context()


class House:
    """All servicers over one memory store. A response has room for 20 kB."""

    def __init__(self) -> None:
        limits = Limits(max_response_bytes=SMALL)
        codec, telemetry, lanes = StructCodec(), Silence(), Lanes()
        self.store = MemoryStore(codec=codec)
        self.embedders: dict[str, Embedder] = {"mock": MockEmbedder(), "letters": LetterEmbedder()}
        self.embedding = EmbeddingQueue(self.embedders, telemetry)
        self.catalogue = Catalogue(self.store, self.embedders, limits, lanes=lanes)
        self.budget = ByteBudget(1_000_000)
        ingestion = Ingestion(
            store=self.store,
            embedders=self.embedders,
            splitter=StructureSplitter(),
            codec=codec,
            limits=limits,
            lanes=lanes,
            embedding=self.embedding,
            telemetry=telemetry,
        )
        self.retrieval = Retrieval(
            store=self.store,
            embedders=self.embedders,
            limits=limits,
            embedding=self.embedding,
            telemetry=telemetry,
        )
        self.drain = Drain()
        reembedding = Reembedding(
            store=self.store,
            workshop=Workshop(self.embedders, StructureSplitter(), codec, limits),
            lanes=lanes,
            embedding=self.embedding,
        )
        self.collections = CollectionServicer(
            catalogue=self.catalogue, reembedding=reembedding, drain=self.drain, limits=limits
        )
        self.writes = IngestionServicer(ingestion=ingestion, budget=self.budget, drain=Drain(), limits=limits)
        self.reads = RetrievalServicer(
            retrieval=self.retrieval,
            reading=Reading(store=self.store, limits=limits),
            catalogue=self.catalogue,
            limits=limits,
        )

    async def fill(self, count: int, text: str = "hello", **fields: Any) -> None:
        request = ingestion_pb.BatchIngestDocumentsRequest()
        for number in range(count):
            request.items.add().document.CopyFrom(Document(doc_id=f"d{number:03}", text=text, **fields))
        response = await self.writes.BatchIngestDocuments(request, CONTEXT)
        assert {each.status for each in response.results} == {ingestion_pb.INGEST_STATUS_CREATED}

    async def query(self, **fields: Any) -> retrieval_pb.QueryResponse:
        return retrieval_pb.QueryResponse.FromString(
            await self.reads.Query(retrieval_pb.QueryRequest(**fields), CONTEXT)
        )


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    await house.store.open()
    await house.catalogue.ensure_default()
    yield house
    await house.embedding.close()
    await house.store.close()


# ---------------------------------------------------------------------------- writing


async def test_a_document_goes_in_and_is_found(house: House) -> None:
    request = ingestion_pb.IngestDocumentRequest(document=Document(doc_id="doc_1", text="hello"))
    stored = await house.writes.IngestDocument(request, CONTEXT)
    assert (stored.doc_id, stored.status, stored.chunk_count) == (
        "doc_1",
        ingestion_pb.INGEST_STATUS_CREATED,
        1,
    )
    again = await house.writes.IngestDocument(request, CONTEXT)
    assert (again.status, again.revision) == (ingestion_pb.INGEST_STATUS_UNCHANGED, stored.revision)
    (hit,) = (await house.query(query="hello")).results
    assert hit.doc_id == "doc_1"
    assert hit.score == pytest.approx(1.0, abs=1e-3)
    assert house.budget.in_use == 0


async def test_an_item_that_fails_is_raised_by_a_call_for_one_document(house: House) -> None:
    await house.fill(1)
    request = ingestion_pb.IngestDocumentRequest(
        document=Document(doc_id="d000", text="other"), expected_revision=0
    )
    with pytest.raises(RevisionMismatch):
        await house.writes.IngestDocument(request, CONTEXT)
    assert house.budget.in_use == 0


async def test_a_batch_fails_by_the_item(house: House) -> None:
    request = ingestion_pb.BatchIngestDocumentsRequest(items=[ingestion_pb.IngestItem()])
    request.items.add().document.CopyFrom(Document(doc_id="d", text="t"))
    response = await house.writes.BatchIngestDocuments(request, CONTEXT)
    assert [each.status for each in response.results] == [
        ingestion_pb.INGEST_STATUS_FAILED,
        ingestion_pb.INGEST_STATUS_CREATED,
    ]
    request.collection = "nowhere"
    with pytest.raises(CollectionNotFound):
        await house.writes.BatchIngestDocuments(request, CONTEXT)


async def test_metadata_is_patched_replaced_and_bounded(house: House) -> None:
    await house.fill(1)
    request = ingestion_pb.UpdateMetadataRequest(doc_id="d000")
    request.metadata.update({"a": 1, "b": "x"})
    assert dict((await house.writes.UpdateMetadata(request, CONTEXT)).metadata) == {"a": 1.0, "b": "x"}
    request.metadata.Clear()
    request.metadata.update({"a": None})
    assert dict((await house.writes.UpdateMetadata(request, CONTEXT)).metadata) == {"b": "x"}
    request.replace = True
    request.expected_revision = 0
    with pytest.raises(RevisionMismatch):
        await house.writes.UpdateMetadata(request, CONTEXT)
    request.ClearField("expected_revision")
    assert dict((await house.writes.UpdateMetadata(request, CONTEXT)).metadata) == {}


async def test_documents_are_removed_by_id_or_all_and_counted_first(house: House) -> None:
    await house.fill(3)
    refs = [ingestion_pb.DocumentRef(doc_id="d000"), ingestion_pb.DocumentRef(doc_id="not there")]
    request = ingestion_pb.DeleteDocumentsRequest(documents=refs, validate_only=True)
    counted = await house.writes.DeleteDocuments(request, CONTEXT)
    assert (counted.matched_count, counted.deleted_count) == (1, 0)
    request.validate_only = False
    deleted = await house.writes.DeleteDocuments(request, CONTEXT)
    assert (deleted.matched_count, deleted.deleted_count) == (1, 1)
    rest = await house.writes.DeleteDocuments(ingestion_pb.DeleteDocumentsRequest(all=True), CONTEXT)
    assert (rest.matched_count, rest.deleted_count) == (2, 2)


async def test_a_write_that_finds_no_room_is_not_ready(house: House) -> None:
    async with house.budget.hold(1_000_000):
        request = ingestion_pb.IngestDocumentRequest(document=Document(doc_id="d", text="t"))
        with pytest.raises(NotReady):
            await house.writes.IngestDocument(request, Context(remaining=0.01))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("remaining", "expected"), [(None, MAX_PATIENCE), (1.0, 0.8), (-1.0, 0.0), (1e6, MAX_PATIENCE)]
)
def test_a_write_waits_no_longer_than_its_deadline_allows(remaining: float | None, expected: float) -> None:
    assert patience(Context(remaining)) == expected  # type: ignore[arg-type]


# ---------------------------------------------------------------------------- reading


async def test_pages_of_documents_list_each_once_and_fit(house: House) -> None:
    await house.fill(30, text="x" * 1500)
    seen: list[str] = []
    request = retrieval_pb.ListDocumentsRequest(include_text=True, include_total_count=True)
    while True:
        page = await house.reads.ListDocuments(request, CONTEXT)
        assert page.ByteSize() <= SMALL
        assert page.total_count == 30
        seen += [each.doc_id for each in page.documents]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert seen == [f"d{number:03}" for number in range(30)]


async def test_pages_of_chunks_fit_and_notice_a_change(house: House) -> None:
    chunks = [Chunk(text=f"chunk {number} " + "y" * 800) for number in range(20)]
    document = Document(doc_id="d", chunks=chunks)
    await house.writes.IngestDocument(ingestion_pb.IngestDocumentRequest(document=document), CONTEXT)
    request = retrieval_pb.ListChunksRequest(doc_id="d", include_vectors=True)
    first = await house.reads.ListChunks(request, CONTEXT)
    assert 0 < len(first.chunks) < 20
    assert first.ByteSize() <= SMALL
    request.page_token = first.next_page_token
    second = await house.reads.ListChunks(request, CONTEXT)
    assert second.chunks[0].ordinal == len(first.chunks)
    assert len(second.chunks[0].vector.packed) == 384 * 4
    document.title = "another"
    await house.writes.IngestDocument(ingestion_pb.IngestDocumentRequest(document=document), CONTEXT)
    with pytest.raises(RevisionMismatch):
        await house.reads.ListChunks(request, CONTEXT)


async def test_a_token_of_another_collection_is_refused(house: House) -> None:
    await house.fill(2)
    create = collection_pb.CreateCollectionRequest(collection=collection_pb.Collection(name="other"))
    await house.collections.CreateCollection(create, CONTEXT)
    page = await house.reads.ListDocuments(retrieval_pb.ListDocumentsRequest(page_size=1), CONTEXT)
    assert page.next_page_token
    request = retrieval_pb.ListDocumentsRequest(collection="other", page_token=page.next_page_token)
    with pytest.raises(InvalidField, match="page_token"):
        await house.reads.ListDocuments(request, CONTEXT)


async def test_an_answer_that_is_too_large_is_refused(house: House) -> None:
    await house.fill(30, text="x" * 900)
    with pytest.raises(LimitExceeded, match="max_response_bytes"):
        await house.query(query="x", top_k=30)
    lighter = await house.query(query="x", top_k=30, omit=[retrieval_pb.HIT_FIELD_TEXT])
    assert len(lighter.results) == 30


async def test_queries_of_a_batch_that_do_not_fit_fail_alone(house: House) -> None:
    await house.fill(30, text="x" * 900)
    large = retrieval_pb.QueryRequest(query="x", top_k=12)
    small = retrieval_pb.QueryRequest(query="x", top_k=1)
    model = retrieval_pb.Rerank(cross_encoder=retrieval_pb.CrossEncoder(model="missing"))
    bad = retrieval_pb.QueryRequest(query="x", rerank=model)
    request = retrieval_pb.BatchQueryRequest(queries=[large, large, small, bad, retrieval_pb.QueryRequest()])
    response = retrieval_pb.BatchQueryResponse.FromString(await house.reads.BatchQuery(request, CONTEXT))
    assert response.ByteSize() <= SMALL
    assert [each.WhichOneof("outcome") for each in response.results] == [
        "response",
        "problem",
        "response",
        "problem",
        "problem",
    ]
    assert [each.problem.reason for each in response.results if each.HasField("problem")] == [
        errors_pb2.ERROR_REASON_LIMIT_EXCEEDED,
        errors_pb2.ERROR_REASON_NOT_CONFIGURED,
        errors_pb2.ERROR_REASON_INVALID_FIELD,
    ]


async def test_what_does_not_fit_is_not_encoded_and_others_have_their_turns(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.fill(30, text="x" * 900)
    monkeypatch.setattr(retrieval_servicer, "ENCODING_SECONDS", -1.0)
    encoded: list[int] = []

    def noted(request: retrieval_pb.QueryRequest, result: QueryResult, room: int) -> bytes | None:
        answer = encode_answer(request, result, room)
        encoded.extend([] if answer is None else [request.top_k])
        return answer

    monkeypatch.setattr(retrieval_servicer, "encode_answer", noted)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    request = retrieval_pb.BatchQueryRequest(
        queries=[retrieval_pb.QueryRequest(query="x", top_k=30)] * 9
        + [retrieval_pb.QueryRequest(query="x", top_k=1)]
    )
    others_task = asyncio.ensure_future(others())
    response = retrieval_pb.BatchQueryResponse.FromString(await house.reads.BatchQuery(request, CONTEXT))
    others_task.cancel()
    assert [each.WhichOneof("outcome") for each in response.results] == ["problem"] * 9 + ["response"]
    assert encoded == [1]
    assert turns >= len(request.queries)
    with pytest.raises(LimitExceeded, match="max_response_bytes"):
        await house.query(query="x", top_k=30)
    assert encoded == [1]


@pytest.mark.parametrize(
    ("wanted", "parts"),
    [
        ([10] * 256, [256]),
        ([1000] * 40, [16, 16, 8]),
        ([1000] * 16 + [10] * 50, [54, 12]),
        ([0, 1000], [2]),
        ([1000] * 17, [16, 1]),
    ],
)
async def test_no_more_hits_of_a_batch_are_held_at_once_than_may_be(
    house: House, monkeypatch: pytest.MonkeyPatch, wanted: list[int], parts: list[int]
) -> None:
    await house.fill(2)
    asked: list[int] = []
    query_batch = house.retrieval.query_batch

    async def noted(queries: Sequence[Query | RagError]) -> list[QueryResult | RagError]:
        asked.append(len(queries))
        return await query_batch(queries)

    monkeypatch.setattr(house.retrieval, "query_batch", noted)
    queries = [
        retrieval_pb.QueryRequest(query=f"hello {place}", top_k=top_k) for place, top_k in enumerate(wanted)
    ]
    encoded = await house.reads.BatchQuery(retrieval_pb.BatchQueryRequest(queries=queries), CONTEXT)
    results = retrieval_pb.BatchQueryResponse.FromString(encoded).results
    assert asked == parts
    assert len(results) == len(queries)
    for query, result in zip(queries, results, strict=True):
        assert result.HasField("problem") or result.response.query == query.query


async def test_documents_are_read_in_the_order_of_the_request(house: House) -> None:
    await house.fill(40)
    ids = [f"d{number:03}" for number in reversed(range(40))]
    request = retrieval_pb.BatchGetDocumentsRequest(doc_ids=["not there", *ids])
    response = await house.reads.BatchGetDocuments(request, CONTEXT)
    assert [each.doc_id for each in response.documents] == ids


async def test_too_many_documents_at_once_are_refused(house: House) -> None:
    await house.fill(30, text="x" * 900)
    request = retrieval_pb.BatchGetDocumentsRequest(doc_ids=[f"d{number:03}" for number in range(30)])
    with pytest.raises(LimitExceeded, match="fewer documents"):
        await house.reads.BatchGetDocuments(request, CONTEXT)


async def test_one_document_is_read_or_not_there(house: House) -> None:
    await house.fill(1, title="T")
    response = await house.reads.GetDocument(retrieval_pb.GetDocumentRequest(doc_id="d000"), CONTEXT)
    assert (response.document.text, response.document.title) == ("hello", "T")
    with pytest.raises(DocumentNotFound):
        await house.reads.GetDocument(retrieval_pb.GetDocumentRequest(doc_id="no"), CONTEXT)
    assert (await house.reads.CountDocuments(retrieval_pb.CountDocumentsRequest(), CONTEXT)).count == 1


async def test_vectors_of_the_caller_are_asked_and_given_back(house: House) -> None:
    vector = Vector(packed=np.array([0.6, 0.8], "<f4").tobytes())
    made = collection_pb.Collection(name="own", embedder="none", dimension=2, metric=collection_pb.METRIC_DOT)
    await house.collections.CreateCollection(collection_pb.CreateCollectionRequest(collection=made), CONTEXT)
    document = Document(doc_id="d", chunks=[Chunk(text="t", vector=vector)])
    await house.writes.IngestDocument(
        ingestion_pb.IngestDocumentRequest(collection="own", document=document), CONTEXT
    )
    (hit,) = (await house.query(collection="own", vector=vector, include_vectors=True)).results
    assert hit.chunk.vector == vector
    assert hit.score == pytest.approx(1.0)


# ---------------------------------------------------------------------------- collections, health, the rest


async def test_collections_are_made_shown_listed_and_removed(house: House) -> None:
    for name in ("b", "a"):
        create = collection_pb.CreateCollectionRequest(collection=collection_pb.Collection(name=name))
        made = (await house.collections.CreateCollection(create, CONTEXT)).collection
        assert (made.name, made.embedder, made.dimension) == (name, "mock", 384)
    shown = await house.collections.GetCollection(collection_pb.GetCollectionRequest(), CONTEXT)
    assert shown.collection.name == "default"
    request = collection_pb.ListCollectionsRequest(page_size=2)
    page = await house.collections.ListCollections(request, CONTEXT)
    assert [each.name for each in page.collections] == ["a", "b"]
    request.page_token = page.next_page_token
    page = await house.collections.ListCollections(request, CONTEXT)
    assert [each.name for each in page.collections] == ["default"]
    assert not page.next_page_token
    delete = collection_pb.DeleteCollectionRequest(name="a")
    assert (await house.collections.DeleteCollection(delete, CONTEXT)).existed
    assert not (await house.collections.DeleteCollection(delete, CONTEXT)).existed


async def test_the_server_says_what_it_is() -> None:
    info = ServerInfo("1.2.3", "memory", [MockEmbedder()], ["cross"], ["quotes"], ["words"], Limits())
    servicer = ServerHealthServicer(info=info)
    pong = await servicer.Ping(health_service_pb2.PingRequest(), CONTEXT)
    assert (pong.status, pong.message) == ("ok", "pong")
    told = await servicer.GetServerInfo(health_service_pb2.GetServerInfoRequest(), CONTEXT)
    assert (told.version, told.store, told.embedders[0].name) == ("1.2.3", "memory", "mock")
    assert (list(told.rerankers), list(told.generators)) == (["cross"], ["quotes"])
    assert list(told.judges) == ["words"]
    assert told.limits.max_top_k == Limits().max_top_k


# ---------------------------------------------------------------------------- another embedder


async def test_a_collection_gets_another_embedder(house: House) -> None:
    await house.fill(3, text="some letters")
    context = Context()
    request = collection_pb.ReembedCollectionRequest(name="default", embedder="letters")
    await house.collections.ReembedCollection(request, cast("Any", context))
    last = context.written[-1]
    assert (last.done, last.total) == (3, 3)
    assert (last.collection.embedder, last.collection.dimension) == ("letters", 8)
    assert last.collection.embedder_fingerprint == "letters/1"
    assert last.collection.chunk_count == 3
    got = await house.collections.GetCollection(collection_pb.GetCollectionRequest(), CONTEXT)
    assert got.collection == last.collection
    assert len((await house.query(query="letters some")).results) == 3


async def test_a_draining_server_ends_the_work(house: House) -> None:
    await house.fill(3)
    house.drain.begin()
    house.embedders["letters"].embed = lambda _: time.sleep(0.2)  # type: ignore[method-assign,assignment,return-value]
    request = collection_pb.ReembedCollectionRequest(name="default", embedder="letters")
    with pytest.raises(NotReady, match="goes on where it was"):
        await house.collections.ReembedCollection(request, cast("Any", Context()))


@pytest.mark.parametrize(
    ("name", "embedder", "error"),
    [
        ("", "letters", InvalidField),
        ("default", "", InvalidField),
        ("default", "none", InvalidField),
        ("default", "unknown", NotConfigured),
        ("missing", "letters", CollectionNotFound),
    ],
)
async def test_what_cannot_be_reembedded_is_said_at_once(
    house: House, name: str, embedder: str, error: type[Exception]
) -> None:
    request = collection_pb.ReembedCollectionRequest(name=name, embedder=embedder)
    with pytest.raises(error):
        await house.collections.ReembedCollection(request, cast("Any", Context()))

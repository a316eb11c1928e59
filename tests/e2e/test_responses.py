"""Every response fits gRPC's default limit: a bare channel reads the largest that is taken.

The largest document is 750,000 characters of four bytes each, with as much metadata as
may be, and its chunks carry vectors of 4,096 numbers.
"""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from rag_grpc.core.limits import Limits
from ragapi.v1 import collection_service_pb2 as collection
from ragapi.v1 import health_service_pb2 as health
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.types_pb2 import Chunk, Document, Vector
from tests.e2e.bare_client import RPCS, Answer, Stubs, send

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = Limits()
GRPC_DEFAULT = 4 * 1024 * 1024
WIDE = 4096
"""The largest dimension."""
LETTER = "\U00020000"
"""Four bytes in UTF-8, and a letter: symbols are taken apart one by one, at a twentieth of the speed."""
TEXT = (LETTER * 99 + " ") * (LIMITS.max_document_characters // 100 - 1) + LETTER * 100
TITLE = LETTER * 1000
ID = LETTER * 128


def largest_metadata() -> Struct:
    metadata = Struct()
    metadata.update({LETTER * 32: ""})
    metadata.update({LETTER * 32: "x" * (LIMITS.max_metadata_bytes - metadata.ByteSize() - 8)})
    assert LIMITS.max_metadata_bytes - 8 <= metadata.ByteSize() <= LIMITS.max_metadata_bytes
    return metadata


def document(doc_id: str = ID, **parts: Any) -> Document:
    return Document(doc_id=doc_id, title=TITLE, metadata=largest_metadata(), **parts)


async def answered(channel: grpc.aio.Channel, method: str, request: Message) -> Any:
    """Call a method through the bare channel: a response beyond its limit would fail here."""
    answer = await send(channel, RPCS[method], request)
    assert answer.code is grpc.StatusCode.OK, answer
    (response,) = answer.responses
    assert response.ByteSize() <= LIMITS.max_response_bytes
    return response


def check_too_large(answer: Answer) -> None:
    assert (answer.code, answer.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED"), answer
    assert answer.metadata["limit"] == "max_response_bytes"
    assert int(answer.metadata["response_bytes"]) > LIMITS.max_response_bytes


async def test_the_limit_told_lies_below_grpcs(served: grpc.aio.Channel) -> None:
    limits = (await answered(served, "GetServerInfo", health.GetServerInfoRequest())).limits
    assert limits.max_response_bytes == LIMITS.max_response_bytes < GRPC_DEFAULT
    assert limits.max_document_characters == len(TEXT)
    assert len(TEXT.encode()) > 0.99 * 4 * limits.max_document_characters


async def test_the_largest_document_is_taken_and_read(served: grpc.aio.Channel) -> None:
    sent = document(text=TEXT)
    stored = await answered(served, "IngestDocument", ingestion.IngestDocumentRequest(document=sent))
    assert stored.status == ingestion.INGEST_STATUS_CREATED
    assert stored.chunk_count > 100

    read = await answered(served, "GetDocument", retrieval.GetDocumentRequest(doc_id=ID))
    assert (read.document.text, read.document.metadata, read.document.title) == (TEXT, sent.metadata, TITLE)
    several = await answered(
        served, "BatchGetDocuments", retrieval.BatchGetDocumentsRequest(doc_ids=[ID, "nobody"])
    )
    assert several.documents == [read.document]
    updated = await answered(
        served, "UpdateMetadata", ingestion.UpdateMetadataRequest(doc_id=ID, metadata=sent.metadata)
    )
    assert updated.metadata == sent.metadata

    refused = await send(
        served, RPCS["BatchGetDocuments"], retrieval.BatchGetDocumentsRequest(doc_ids=[ID, ID])
    )
    check_too_large(refused)


async def test_pages_end_where_the_next_document_has_no_room(served: grpc.aio.Channel) -> None:
    stubs = Stubs(served)
    await stubs.collections.CreateCollection(
        collection.CreateCollectionRequest(collection=collection.Collection(name="large"))
    )
    for number in range(3):
        sent = document(f"{number}", text=TEXT)
        request = ingestion.IngestDocumentRequest(collection="large", document=sent)
        await answered(served, "IngestDocument", request)
    listing = retrieval.ListDocumentsRequest(collection="large", include_text=True, include_total_count=True)
    pages: list[Any] = []
    while not pages or listing.page_token:
        page = await answered(served, "ListDocuments", listing)
        pages.append([each.doc_id for each in page.documents])
        assert page.total_count == 3
        assert all(each.text == TEXT for each in page.documents)
        listing.page_token = page.next_page_token
    assert pages == [["0"], ["1"], ["2"]]

    listing = retrieval.ListDocumentsRequest(collection="large")
    page = await answered(served, "ListDocuments", listing)
    assert [each.doc_id for each in page.documents] == ["0", "1", "2"]


async def wide_document(channel: grpc.aio.Channel, chunks: int, text: str) -> Document:
    """Store a document of `chunks` chunks of `text`, with the longest vectors."""
    name = f"wide-{chunks}"
    stubs = Stubs(channel)
    made = collection.Collection(name=name, embedder="none", dimension=WIDE)
    await stubs.collections.CreateCollection(collection.CreateCollectionRequest(collection=made))
    rows = np.random.default_rng(0).standard_normal((chunks, WIDE)).astype("<f4")
    sent = document(chunks=[Chunk(text=text, vector=Vector(packed=row.tobytes())) for row in rows])
    request = ingestion.IngestDocumentRequest(collection=name, document=sent)
    assert (await answered(channel, "IngestDocument", request)).chunk_count == chunks
    return sent


async def test_pages_of_chunks_with_the_longest_vectors_fit(served: grpc.aio.Channel) -> None:
    sent = await wide_document(served, 700, "x")
    listing = retrieval.ListChunksRequest(
        collection="wide-700", doc_id=ID, page_size=1000, include_vectors=True
    )
    pages: list[Any] = []
    while not pages or listing.page_token:
        page = await answered(served, "ListChunks", listing)
        pages.append(page.chunks)
        listing.page_token = page.next_page_token
    read = [chunk for page in pages for chunk in page]
    assert len(pages) > 1
    assert [chunk.ordinal for chunk in read] == list(range(700))
    assert [chunk.vector.packed for chunk in read] == [chunk.vector.packed for chunk in sent.chunks]


async def test_a_query_with_more_to_say_than_fits_is_refused_and_says_so(served: grpc.aio.Channel) -> None:
    sent = await wide_document(served, 40, LETTER * 30_000)
    vector = sent.chunks[0].vector

    def query(top_k: int, **more: Any) -> retrieval.QueryRequest:
        return retrieval.QueryRequest(collection="wide-40", vector=vector, top_k=top_k, **more)

    one = await answered(served, "Query", query(1, include_vectors=True))
    assert one.results[0].chunk.text == LETTER * 30_000
    assert one.results[0].metadata == sent.metadata
    for request in (query(40), query(40, omit=[retrieval.HIT_FIELD_TEXT]), query(30, include_vectors=True)):
        check_too_large(await send(served, RPCS["Query"], request))
    lighter = [retrieval.HIT_FIELD_TEXT, retrieval.HIT_FIELD_METADATA]
    assert len((await answered(served, "Query", query(40, omit=lighter))).results) == 40

    # In a batch those that fit are answered, whatever their order, and the others are told why.
    queries = [query(40), query(2), query(40), query(1), *[query(2)] * 20]
    response = await answered(served, "BatchQuery", retrieval.BatchQueryRequest(queries=queries))
    outcomes = [each.WhichOneof("outcome") for each in response.results]
    assert outcomes[:4] == ["problem", "response", "problem", "response"]
    assert outcomes[-1] == "problem"
    for each in response.results:
        if each.HasField("problem"):
            assert each.problem.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
            assert each.problem.metadata["limit"] == "max_response_bytes"


async def test_a_page_of_collections_with_the_longest_names_fits(served: grpc.aio.Channel) -> None:
    stubs = Stubs(served)
    names = [f"{'c' * 58}{number:06}" for number in range(300)]
    for name in names:
        made = collection.Collection(name=name, embedder="none", dimension=WIDE)
        await stubs.collections.CreateCollection(collection.CreateCollectionRequest(collection=made))
    page = await answered(served, "ListCollections", collection.ListCollectionsRequest(page_size=1000))
    assert set(names) <= {each.name for each in page.collections}
    # So a page of 1000 fits as well.
    assert page.ByteSize() * 1000 / len(page.collections) < LIMITS.max_response_bytes


async def test_a_thousand_failures_fit_in_one_response(served: grpc.aio.Channel) -> None:
    bad = ingestion.IngestItem(
        document=Document(doc_id=ID, text=" ", media_type="x" * 2000, embedder_fingerprint="f" * 999)
    )
    items = [bad] * LIMITS.max_batch_documents
    response = await answered(
        served, "BatchIngestDocuments", ingestion.BatchIngestDocumentsRequest(items=items)
    )
    assert {each.problem.reason for each in response.results} == {1}
    queries = [retrieval.QueryRequest(query="x", metadata_keys=["k" * 200] * 99)] * LIMITS.max_batch_queries
    answer = await answered(served, "BatchQuery", retrieval.BatchQueryRequest(queries=queries))
    assert len(answer.results) == len(queries)

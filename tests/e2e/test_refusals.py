"""What does not fit what is stored is refused with its reason, and a stream goes on behind it."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from rag_grpc.rpc.field_rules.rule import MAX_METADATA_DEPTH
from ragapi.v1 import collection_service_pb2 as collection
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.types_pb2 import Chunk, Document, Vector
from tests.e2e.bare_client import RPCS, send
from tests.e2e.contract_answers import check, check_problem
from tests.e2e.valid_requests import DIMENSION, GOOD, METADATA

pytestmark = pytest.mark.asyncio(loop_scope="module")

VALUES = Vector(values=[1.0] * DIMENSION)
SHORT = Vector(values=[1.0] * (DIMENSION - 1))
ZERO = Vector(values=[0.0] * DIMENSION)
ONES = Vector(packed=np.ones(384, "<f4").tobytes())


def chunked(vector: Vector, doc_id: str = "d", fingerprint: str = "") -> Document:
    return Document(doc_id=doc_id, chunks=[Chunk(text="x", vector=vector)], embedder_fingerprint=fingerprint)


def ingest(document: Document, where: str = "vectors", **more: Any) -> Message:
    return ingestion.IngestDocumentRequest(collection=where, document=document, **more)


_KEPT = Document(doc_id="kept", text="other")
_LIMIT = collection.Collection(name="other", embedder="nobody")
REFUSED: list[tuple[str, Message, str, set[str]]] = [
    *(
        (method, request, "COLLECTION_NOT_FOUND", set())
        for method, request in (
            ("IngestDocument", ingest(Document(doc_id="d", text="x"), "nowhere")),
            ("UpdateMetadata", ingestion.UpdateMetadataRequest(collection="nowhere", doc_id="d")),
            ("DeleteDocuments", ingestion.DeleteDocumentsRequest(collection="nowhere", all=True)),
            ("Query", retrieval.QueryRequest(collection="nowhere", query="x")),
            ("GetDocument", retrieval.GetDocumentRequest(collection="nowhere", doc_id="d")),
            ("BatchGetDocuments", retrieval.BatchGetDocumentsRequest(collection="nowhere", doc_ids=["d"])),
            ("CountDocuments", retrieval.CountDocumentsRequest(collection="nowhere")),
            ("ListChunks", retrieval.ListChunksRequest(collection="nowhere", doc_id="d")),
            ("ListDocuments", retrieval.ListDocumentsRequest(collection="nowhere")),
            ("GetCollection", collection.GetCollectionRequest(name="nowhere")),
            (
                "BatchIngestDocuments",
                ingestion.BatchIngestDocumentsRequest(collection="nowhere", items=[GOOD]),
            ),
        )
    ),
    ("GetDocument", retrieval.GetDocumentRequest(doc_id="nobody"), "DOCUMENT_NOT_FOUND", set()),
    ("ListChunks", retrieval.ListChunksRequest(doc_id="nobody"), "DOCUMENT_NOT_FOUND", set()),
    ("UpdateMetadata", ingestion.UpdateMetadataRequest(doc_id="nobody"), "DOCUMENT_NOT_FOUND", set()),
    ("IngestDocument", ingest(chunked(SHORT)), "DIMENSION_MISMATCH", {"document.chunks[0].vector"}),
    ("Query", retrieval.QueryRequest(collection="vectors", vector=SHORT), "DIMENSION_MISMATCH", {"vector"}),
    ("Query", retrieval.QueryRequest(vector=VALUES), "DIMENSION_MISMATCH", {"vector"}),
    ("IngestDocument", ingest(chunked(ZERO)), "INVALID_FIELD", {"document.chunks[0].vector"}),
    ("Query", retrieval.QueryRequest(collection="vectors", vector=ZERO), "INVALID_FIELD", {"vector"}),
    (
        "Query",
        retrieval.QueryRequest(collection="vectors", query="x", mode=retrieval.SEARCH_MODE_DENSE),
        "INVALID_FIELD",
        {"vector"},
    ),
    (
        "Query",
        retrieval.QueryRequest(collection="vectors", query="x", mode=retrieval.SEARCH_MODE_HYBRID),
        "INVALID_FIELD",
        {"vector"},
    ),
    ("Query", retrieval.QueryRequest(doc_id="nobody"), "DOCUMENT_NOT_FOUND", set()),
    (
        "Query",
        retrieval.QueryRequest(query="x", rerank=retrieval.Rerank(cross_encoder=retrieval.CrossEncoder())),
        "NOT_CONFIGURED",
        set(),
    ),
    ("IngestDocument", ingest(Document(doc_id="d", text="x")), "INVALID_FIELD", {"document.chunks"}),
    (
        "IngestDocument",
        ingest(Document(doc_id="d", chunks=[Chunk(text="x")])),
        "INVALID_FIELD",
        {"document.chunks[0].vector"},
    ),
    ("IngestDocument", ingest(chunked(ONES), ""), "INVALID_FIELD", {"document.embedder_fingerprint"}),
    ("IngestDocument", ingest(chunked(ONES, fingerprint="other/1"), ""), "EMBEDDER_MISMATCH", set()),
    ("IngestDocument", ingest(_KEPT, "", expected_revision=0), "REVISION_MISMATCH", set()),
    (
        "UpdateMetadata",
        ingestion.UpdateMetadataRequest(doc_id="kept", expected_revision=2**63, metadata=METADATA),
        "REVISION_MISMATCH",
        set(),
    ),
    (
        "DeleteDocuments",
        ingestion.DeleteDocumentsRequest(
            documents=[ingestion.DocumentRef(doc_id="kept", expected_revision=2**64 - 1)]
        ),
        "REVISION_MISMATCH",
        set(),
    ),
    ("CreateCollection", collection.CreateCollectionRequest(collection=_LIMIT), "NOT_CONFIGURED", set()),
    (
        "CreateCollection",
        collection.CreateCollectionRequest(collection=collection.Collection(name="vectors", dimension=5)),
        "COLLECTION_EXISTS",
        set(),
    ),
    ("DeleteCollection", collection.DeleteCollectionRequest(name="default"), "INVALID_FIELD", {"name"}),
    ("DeleteDocuments", ingestion.DeleteDocumentsRequest(), "INVALID_FIELD", {"documents", "filter", "all"}),
    (
        "DeleteDocuments",
        ingestion.DeleteDocumentsRequest(all=True, documents=[ingestion.DocumentRef(doc_id="d")]),
        "INVALID_FIELD",
        {"documents", "all"},
    ),
    ("Query", retrieval.QueryRequest(), "INVALID_FIELD", {"query"}),
    ("Query", retrieval.QueryRequest(query="x", ef=5, exact=True), "INVALID_FIELD", {"ef"}),
]


@pytest.mark.parametrize(
    ("method", "request_", "reason", "fields"), REFUSED, ids=[f"{each[0]}-{each[2]}" for each in REFUSED]
)
async def test_what_does_not_fit_what_is_stored_is_refused(
    served: grpc.aio.Channel, method: str, request_: Message, reason: str, fields: set[str]
) -> None:
    answer = await send(served, RPCS[method], request_)
    check(answer, request_)
    assert (answer.reason, set(answer.fields)) == (reason, fields), answer


async def test_a_page_token_of_another_list_is_refused(served: grpc.aio.Channel) -> None:
    for doc_id in ("page 1", "page 2"):
        await send(served, RPCS["IngestDocument"], ingest(Document(doc_id=doc_id, text="x"), ""))
    listed = await send(served, RPCS["ListDocuments"], retrieval.ListDocumentsRequest(page_size=1))
    token = listed.responses[0].next_page_token
    assert token
    for method, request in (
        ("ListDocuments", retrieval.ListDocumentsRequest(collection="vectors", page_token=token)),
        ("ListChunks", retrieval.ListChunksRequest(doc_id="kept", page_token=token)),
        ("ListCollections", collection.ListCollectionsRequest(page_token=token)),
    ):
        answer = await send(served, RPCS[method], request)
        assert (answer.reason, answer.fields) == ("INVALID_FIELD", ("page_token",)), answer


async def test_a_stream_goes_on_behind_what_is_wrong(served: grpc.aio.Channel) -> None:
    rpc = RPCS["StreamIngestDocuments"]

    def one(number: int, *documents: Document, where: str = "vectors") -> Message:
        items = [ingestion.IngestItem(document=each) for each in documents]
        return ingestion.StreamIngestDocumentsRequest(collection=where, items=items, sequence=number)

    good = chunked(VALUES, "streamed")
    answer = await send(
        served,
        rpc,
        one(1, good),
        one(2, good, where="nowhere"),
        one(3, good, chunked(SHORT), good),
        one(4),
        one(5, good, where="No!"),
        one(6, chunked(ZERO), Document()),
        one(7, good),
    )
    assert answer.code is grpc.StatusCode.OK
    assert [response.sequence for response in answer.responses] == [1, 2, 3, 4, 5, 6, 7]
    reasons = [
        [check_problem(each.problem, each).reason if each.HasField("problem") else "" for each in one.results]
        for one in answer.responses
    ]
    assert reasons == [
        [""],
        ["COLLECTION_NOT_FOUND"],
        ["", "DIMENSION_MISMATCH", ""],
        [],
        ["INVALID_FIELD"],
        ["INVALID_FIELD", "INVALID_FIELD"],
        [""],
    ]


async def test_metadata_as_deep_as_it_may_be_can_be_read_everywhere(served: grpc.aio.Channel) -> None:
    deep: Any = {"k": "x"}
    for _ in range(MAX_METADATA_DEPTH - 1):
        deep = {"k": deep}
    metadata = Struct()
    metadata.update(deep)
    document = Document(doc_id="deep", text="deep down", metadata=metadata)
    item = ingestion.IngestItem(document=document)
    query = retrieval.QueryRequest(query="deep down", top_k=1)
    for method, request in (
        ("IngestDocument", ingest(document, "")),
        ("BatchIngestDocuments", ingestion.BatchIngestDocumentsRequest(items=[item])),
        ("StreamIngestDocuments", ingestion.StreamIngestDocumentsRequest(items=[item])),
        ("UpdateMetadata", ingestion.UpdateMetadataRequest(doc_id="deep", metadata=metadata)),
        ("GetDocument", retrieval.GetDocumentRequest(doc_id="deep")),
        ("BatchGetDocuments", retrieval.BatchGetDocumentsRequest(doc_ids=["deep"])),
        ("ListDocuments", retrieval.ListDocumentsRequest()),
        ("Query", query),
        ("BatchQuery", retrieval.BatchQueryRequest(queries=[query])),
    ):
        answer = await send(served, RPCS[method], request)
        assert answer.code is grpc.StatusCode.OK, f"{method}: {answer}"
        assert "problem" not in str(answer.responses[0]), method

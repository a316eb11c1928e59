"""Requests, built the same way for both clients: pure functions from arguments to a Call.

A Call is everything that can be said of a request without sending it: which method, which message, and how
the response is read. The clients only send. An unset argument is an unset field: what a default means is the
server's to decide, and what it lacks it refuses by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from google.protobuf import wrappers_pb2

from rag_client import results
from rag_client.messages import chunking_message, document_message, item_message, number, query_message
from rag_client.models import DocumentRef
from rag_client.structs import to_struct
from ragapi.v1 import collection_service_pb2 as collection_pb
from ragapi.v1 import health_service_pb2 as health_pb
from ragapi.v1 import ingestion_service_pb2 as ingestion_pb
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from google.protobuf.message import Message

    from rag_client import models
    from rag_client.errors import RagClientError
    from rag_client.models import Chunking, Document, IngestItem, Metric
    from rag_client.queries import QueryFields, QueryResult

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request that is ready to be sent, and the reader of its response."""

    method: str
    request: Message
    read: Callable[[Any], T]


class Packer(Protocol):
    """Packs what a caller streams into messages."""

    def add(self, item: Any) -> Message | None:
        """Take an item; return a message where one is full."""

    def flush(self) -> Message | None:
        """Return what is left, if anything."""


@dataclass(frozen=True, slots=True)
class StreamCall(Generic[T]):
    """A stream in both directions: its first message, who packs the others, and the reader of each response.

    What `read` makes None of is passed over.
    """

    method: str
    first: Message
    packer: Callable[[], Packer]
    read: Callable[[Any], T | None]


def create_collection(
    name: str,
    *,
    embedder: str,
    dimension: int,
    metric: Metric | None,
    chunking: Chunking | None,
    language: str,
) -> Call[models.Collection]:
    """Build CreateCollection."""
    collection = collection_pb.Collection(
        name=name,
        embedder=embedder,
        dimension=dimension,
        metric=number(collection_pb.Metric, "METRIC_", metric or "unspecified"),
        chunking=chunking_message(chunking) if chunking else None,
        language=language,
    )
    request = collection_pb.CreateCollectionRequest(collection=collection)
    return Call("CreateCollection", request, lambda response: results.collection(response.collection))


def get_collection(name: str) -> Call[models.Collection]:
    """Build GetCollection."""
    request = collection_pb.GetCollectionRequest(name=name)
    return Call("GetCollection", request, lambda response: results.collection(response.collection))


def list_collections(*, page_size: int, page_token: str) -> Call[models.CollectionPage]:
    """Build ListCollections."""
    request = collection_pb.ListCollectionsRequest(page_size=page_size, page_token=page_token)
    return Call("ListCollections", request, results.collection_page)


def reembed_collection(name: str, embedder: str) -> Call[models.ReembedProgress]:
    """Build ReembedCollection, whose responses are read one by one."""
    request = collection_pb.ReembedCollectionRequest(name=name, embedder=embedder)
    return Call("ReembedCollection", request, results.reembed_progress)


def delete_collection(name: str, *, uid: str) -> Call[bool]:
    """Build DeleteCollection; it is read as whether there was one."""
    request = collection_pb.DeleteCollectionRequest(name=name, uid=uid)
    return Call("DeleteCollection", request, lambda response: bool(response.existed))


def ingest_document(
    document: Document, *, collection: str, expected_revision: int | None
) -> Call[models.IngestResult]:
    """Build IngestDocument."""
    request = ingestion_pb.IngestDocumentRequest(
        collection=collection, document=document_message(document), expected_revision=expected_revision
    )
    return Call("IngestDocument", request, results.ingest_result)


def ingest_documents(
    items: Iterable[Document | IngestItem], *, collection: str
) -> Call[list[models.IngestResult]]:
    """Build BatchIngestDocuments."""
    request = ingestion_pb.BatchIngestDocumentsRequest(
        collection=collection, items=[item_message(item) for item in items]
    )
    return Call("BatchIngestDocuments", request, results.ingest_results)


def update_metadata(
    doc_id: str,
    metadata: Mapping[str, Any],
    *,
    collection: str,
    expected_revision: int | None,
    replace: bool,
) -> Call[models.Updated]:
    """Build UpdateMetadata."""
    request = ingestion_pb.UpdateMetadataRequest(
        collection=collection,
        doc_id=doc_id,
        metadata=to_struct(metadata),
        expected_revision=expected_revision,
        replace=replace,
    )
    return Call("UpdateMetadata", request, results.updated)


def delete_documents(
    documents: Iterable[str | DocumentRef],
    *,
    collection: str,
    filter: str,  # noqa: A002 - the contract's word
    all: bool,  # noqa: A002 - the contract's word
    validate_only: bool,
) -> Call[models.Deleted]:
    """Build DeleteDocuments."""
    refs = [DocumentRef(each) if isinstance(each, str) else each for each in documents]
    request = ingestion_pb.DeleteDocumentsRequest(
        collection=collection,
        documents=[
            ingestion_pb.DocumentRef(doc_id=ref.doc_id, expected_revision=ref.expected_revision)
            for ref in refs
        ],
        filter=filter,
        all=all,
        validate_only=validate_only,
    )
    return Call("DeleteDocuments", request, results.deleted)


def query(fields: QueryFields) -> Call[QueryResult]:
    """Build Query."""
    return Call("Query", query_message(fields), results.query_result)


def batch_query(queries: Iterable[str | QueryFields]) -> Call[list[QueryResult | RagClientError]]:
    """Build BatchQuery; a bare string is a query without options."""
    messages = [query_message({"query": each} if isinstance(each, str) else each) for each in queries]
    return Call("BatchQuery", retrieval_pb.BatchQueryRequest(queries=messages), results.query_outcomes)


def get_document(doc_id: str, *, collection: str) -> Call[Document]:
    """Build GetDocument."""
    request = retrieval_pb.GetDocumentRequest(collection=collection, doc_id=doc_id)
    return Call("GetDocument", request, lambda response: results.document(response.document))


def get_documents(doc_ids: Iterable[str], *, collection: str) -> Call[list[Document]]:
    """Build BatchGetDocuments."""
    request = retrieval_pb.BatchGetDocumentsRequest(collection=collection, doc_ids=doc_ids)
    return Call(
        "BatchGetDocuments",
        request,
        lambda response: [results.document(each) for each in response.documents],
    )


def count_documents(*, collection: str, filter: str) -> Call[int]:  # noqa: A002 - the contract's word
    """Build CountDocuments."""
    request = retrieval_pb.CountDocumentsRequest(collection=collection, filter=filter)
    return Call("CountDocuments", request, lambda response: int(response.count))


def list_chunks(
    doc_id: str, *, collection: str, page_size: int, page_token: str, include_vectors: bool
) -> Call[models.ChunkPage]:
    """Build ListChunks."""
    request = retrieval_pb.ListChunksRequest(
        collection=collection,
        doc_id=doc_id,
        page_size=page_size,
        page_token=page_token,
        include_vectors=include_vectors,
    )
    return Call("ListChunks", request, results.chunk_page)


def list_documents(
    *,
    collection: str,
    filter: str,  # noqa: A002 - the contract's word
    page_size: int,
    page_token: str,
    include_text: bool,
    include_total_count: bool,
) -> Call[models.DocumentPage]:
    """Build ListDocuments."""
    request = retrieval_pb.ListDocumentsRequest(
        collection=collection,
        filter=filter,
        page_size=page_size,
        page_token=page_token,
        include_text=include_text,
        include_total_count=include_total_count,
    )
    return Call("ListDocuments", request, results.document_page)


def ping() -> Call[models.Pong]:
    """Build Ping."""
    return Call("Ping", health_pb.PingRequest(), results.pong)


def get_server_info() -> Call[models.ServerInfo]:
    """Build GetServerInfo."""
    return Call("GetServerInfo", health_pb.GetServerInfoRequest(), results.server_info)


def check_health(service: str) -> Call[str]:
    """Build grpc.health.v1's Check, whose request is one string and whose response one enum."""
    return Call("Check", wrappers_pb2.StringValue(value=service), results.serving_status)

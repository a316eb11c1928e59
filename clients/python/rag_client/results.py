"""Responses, read the same way for both clients: pure functions from messages to plain values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rag_client import models, queries
from rag_client.status import from_problem
from rag_client.structs import from_struct
from rag_client.vectors import unpack
from ragapi.v1 import collection_service_pb2 as collection_pb
from ragapi.v1 import health_service_pb2 as health_pb
from ragapi.v1 import ingestion_service_pb2 as ingestion_pb
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb
from ragapi.v1 import types_pb2

if TYPE_CHECKING:
    from google.protobuf import wrappers_pb2
    from google.protobuf.message import Message

    from rag_client.errors import RagClientError


def word(enum: Any, prefix: str, value: int) -> str:
    """Return an enum's number as its word, or as a numeral where only a newer server knows it."""
    try:
        return str(enum.Name(value)).removeprefix(prefix).lower()
    except ValueError:
        return str(value)


def collection(message: collection_pb.Collection) -> models.Collection:
    """Read a collection."""
    chunking = message.chunking
    return models.Collection(
        name=message.name,
        embedder=message.embedder,
        dimension=message.dimension,
        metric=word(collection_pb.Metric, "METRIC_", message.metric),
        chunking=models.Chunking(
            chunking.max_characters,
            chunking.overlap_characters,
            chunking.max_tokens,
            chunking.without_context,
        ),
        language=message.language,
        document_count=message.document_count,
        chunk_count=message.chunk_count,
        create_time=_time(message, "create_time"),
        uid=message.uid,
        embedder_fingerprint=message.embedder_fingerprint,
    )


def collection_page(response: collection_pb.ListCollectionsResponse) -> models.CollectionPage:
    """Read a page of collections."""
    found = tuple(collection(each) for each in response.collections)
    return models.CollectionPage(response.next_page_token, collections=found)


def reembed_progress(response: collection_pb.ReembedCollectionResponse) -> models.ReembedProgress:
    """Read one message of ReembedCollection."""
    last = collection(response.collection) if response.HasField("collection") else None
    return models.ReembedProgress(response.done, response.total, last)


def chunk(message: types_pb2.Chunk) -> models.Chunk:
    """Read a chunk."""
    return models.Chunk(
        text=message.text,
        vector=unpack(message.vector) if message.HasField("vector") else None,
        start=_optional(message, "start"),
        end=_optional(message, "end"),
        ordinal=message.ordinal,
        headings=tuple(message.headings),
    )


def document(message: types_pb2.Document) -> models.Document:
    """Read a document."""
    return models.Document(
        doc_id=message.doc_id,
        text=message.text,
        title=message.title,
        metadata=from_struct(message.metadata),
        media_type=message.media_type,
        chunks=tuple(chunk(each) for each in message.chunks),
        embedder_fingerprint=message.embedder_fingerprint,
        revision=message.revision,
        content_hash=message.content_hash,
        chunk_count=message.chunk_count,
        create_time=_time(message, "create_time"),
        update_time=_time(message, "update_time"),
    )


def document_page(response: retrieval_pb.ListDocumentsResponse) -> models.DocumentPage:
    """Read a page of documents."""
    found = tuple(document(each) for each in response.documents)
    return models.DocumentPage(response.next_page_token, _optional(response, "total_count"), found)


def chunk_page(response: retrieval_pb.ListChunksResponse) -> models.ChunkPage:
    """Read a page of chunks."""
    return models.ChunkPage(response.next_page_token, chunks=tuple(chunk(each) for each in response.chunks))


def ingest_result(
    message: ingestion_pb.IngestResult | ingestion_pb.IngestDocumentResponse,
) -> models.IngestResult:
    """Read what became of a document, alone or in a batch."""
    problem = message.problem if isinstance(message, ingestion_pb.IngestResult) else None
    failed = problem is not None and message.status == ingestion_pb.INGEST_STATUS_FAILED
    return models.IngestResult(
        doc_id=message.doc_id,
        status=word(ingestion_pb.IngestStatus, "INGEST_STATUS_", message.status),
        revision=message.revision,
        chunk_count=message.chunk_count,
        error=from_problem(problem) if failed and problem is not None else None,
    )


def ingest_results(response: ingestion_pb.BatchIngestDocumentsResponse) -> list[models.IngestResult]:
    """Read what became of a batch, in the order of the request."""
    return [ingest_result(each) for each in response.results]


def updated(response: ingestion_pb.UpdateMetadataResponse) -> models.Updated:
    """Read a document's state after an update."""
    return models.Updated(response.revision, from_struct(response.metadata))


def deleted(response: ingestion_pb.DeleteDocumentsResponse) -> models.Deleted:
    """Read the counts of a deletion."""
    return models.Deleted(response.matched_count, response.deleted_count)


def hit(message: retrieval_pb.Hit) -> queries.Hit:
    """Read a hit."""
    return queries.Hit(
        doc_id=message.doc_id,
        score=message.score,
        chunk=chunk(message.chunk),
        title=message.title,
        metadata=from_struct(message.metadata),
        parts=_parts(message.parts) if message.HasField("parts") else None,
        highlights=tuple((span.start, span.end) for span in message.highlights),
    )


def query_result(response: retrieval_pb.QueryResponse) -> queries.QueryResult:
    """Read the answer to a query."""
    plan = response.plan
    return queries.QueryResult(
        query=response.query,
        hits=tuple(hit(each) for each in response.results),
        plan=queries.SearchPlan(
            strategy=word(retrieval_pb.SearchStrategy, "SEARCH_STRATEGY_", plan.strategy),
            mode=word(retrieval_pb.SearchMode, "SEARCH_MODE_", plan.mode),
            matching_chunks=_optional(plan, "matching_chunks"),
            stages={name: spent.ToTimedelta().total_seconds() for name, spent in plan.stages.items()},
        ),
    )


def query_outcomes(response: retrieval_pb.BatchQueryResponse) -> list[queries.QueryResult | RagClientError]:
    """Read what each query of a batch came to, in the order of the request."""
    return [
        from_problem(each.problem) if each.WhichOneof("outcome") == "problem" else query_result(each.response)
        for each in response.results
    ]


def pong(response: health_pb.PingResponse) -> models.Pong:
    """Read Ping's answer."""
    return models.Pong(response.status, response.message)


def server_info(response: health_pb.GetServerInfoResponse) -> models.ServerInfo:
    """Read what runs there."""
    limits = response.limits
    return models.ServerInfo(
        version=response.version,
        store=response.store,
        embedders=tuple(
            models.Embedder(each.name, each.dimension, each.fingerprint) for each in response.embedders
        ),
        rerankers=tuple(response.rerankers),
        generators=tuple(response.generators),
        judges=tuple(response.judges),
        limits={field.name: getattr(limits, field.name) for field in limits.DESCRIPTOR.fields},
    )


def serving_status(response: wrappers_pb2.Int32Value) -> str:
    """Read grpc.health.v1's ServingStatus."""
    words = {0: "unknown", 1: "serving", 2: "not_serving", 3: "service_unknown"}
    return words.get(response.value, str(response.value))


def _parts(message: retrieval_pb.ScoreParts) -> queries.ScoreParts:
    return queries.ScoreParts(
        dense=_optional(message, "dense"),
        dense_rank=_optional(message, "dense_rank"),
        lexical=_optional(message, "lexical"),
        lexical_rank=_optional(message, "lexical_rank"),
        rerank=_optional(message, "rerank"),
    )


def _optional(message: Message, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _time(message: Any, name: str) -> datetime | None:
    """Return a timestamp in UTC; what lies below a microsecond is cut."""
    if not message.HasField(name):
        return None
    moment: datetime = getattr(message, name).ToDatetime(tzinfo=UTC)
    return moment

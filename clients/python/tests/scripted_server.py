"""A server of the contract that keeps documents in a dict and misbehaves on order.

The real server's tests show what the real server does; these show what the client does when a server drains,
breaks, is slow or says no, at a moment that the test chooses.
"""

# ruff: noqa: N802 - the contract names the methods
from __future__ import annotations

import threading
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import any_pb2, wrappers_pb2
from google.rpc import error_details_pb2, status_pb2

from clients.python.tests.scripted_evaluation import ScriptedEvaluation
from ragapi.v1 import (
    collection_service_pb2 as collection_pb,
)
from ragapi.v1 import (
    collection_service_pb2_grpc,
    errors_pb2,
    evaluation_service_pb2_grpc,
    health_service_pb2_grpc,
    ingestion_service_pb2_grpc,
    retrieval_service_pb2_grpc,
)
from ragapi.v1 import (
    health_service_pb2 as health_pb,
)
from ragapi.v1 import (
    ingestion_service_pb2 as ingestion_pb,
)
from ragapi.v1 import (
    retrieval_service_pb2 as retrieval_pb,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.message import Message

    StreamScript = Callable[[Iterator[Any], grpc.ServicerContext], Iterator[Any]]


@dataclass(frozen=True)
class Failure:
    """How a call shall end: with an ErrorInfo where there is a reason, else as gRPC itself would end it."""

    code: grpc.StatusCode
    reason: str = ""
    message: str = "said so"
    fields: dict[str, str] = field(default_factory=dict)
    retry_delay: float | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    def abort(self, context: grpc.ServicerContext) -> None:
        if self.reason:
            status = status_pb2.Status(code=self.code.value[0], message=self.message)
            status.details.extend(packed(each) for each in self._details())
            context.set_trailing_metadata(
                (("grpc-status-details-bin", status.SerializeToString()), ("x-request-id", "req-1"))
            )
        context.abort(self.code, self.message)

    def _details(self) -> Iterator[Message]:
        yield error_details_pb2.ErrorInfo(reason=self.reason, domain="ragapi.v1", metadata=self.metadata)
        yield error_details_pb2.RequestInfo(request_id="req-1")
        if self.fields:
            bad = error_details_pb2.BadRequest()
            for name, description in self.fields.items():
                bad.field_violations.add(field=name, description=description)
            yield bad
        if self.retry_delay is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromNanoseconds(int(self.retry_delay * 1e9))
            yield retry


def packed(message: Message) -> any_pb2.Any:
    detail = any_pb2.Any()
    detail.Pack(message)
    return detail


NOT_READY = Failure(grpc.StatusCode.UNAVAILABLE, "NOT_READY", retry_delay=0.01)
BROKEN = Failure(grpc.StatusCode.UNAVAILABLE)


class ScriptedServer(
    ScriptedEvaluation,
    collection_service_pb2_grpc.CollectionServiceServicer,
    ingestion_service_pb2_grpc.IngestionServiceServicer,
    retrieval_service_pb2_grpc.RetrievalServiceServicer,
    health_service_pb2_grpc.HealthServiceServicer,
):
    """Every service at once: `requests` is what came in, `fail` and `stream_scripts` say how it ends."""

    def __init__(self) -> None:
        self.target = ""
        self.documents: dict[str, Any] = {}
        self.requests: list[Any] = []
        self.stored: list[str] = []
        self.invocation_metadata: list[dict[str, Any]] = []
        self.time_remaining: list[float | None] = []
        self.limits = health_pb.Limits(
            max_request_bytes=4 << 20, max_batch_documents=1000, max_stream_window=8
        )
        self.serving = 1
        self.stream_scripts: deque[StreamScript] = deque()
        self.problems: dict[str, deque[Failure]] = defaultdict(deque)
        self.page_size = 2
        self.hits: list[retrieval_pb.Hit] = []
        self.plan = retrieval_pb.SearchPlan(
            strategy=retrieval_pb.SEARCH_STRATEGY_EXACT, mode=retrieval_pb.SEARCH_MODE_DENSE
        )
        self.left = threading.Event()
        self._failures: dict[str, deque[Failure]] = defaultdict(deque)
        self._lock = threading.Lock()

    def fail(self, method: str, *failures: Failure) -> None:
        """The next calls of `method` end so, one after the other."""
        self._failures[method].extend(failures)

    def _enter(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        with self._lock:
            self.requests.append(request)
            self.invocation_metadata.append(dict(context.invocation_metadata()))
            remaining = context.time_remaining()
            self.time_remaining.append(remaining if remaining < 1e6 else None)
            failure = self._failures[method].popleft() if self._failures[method] else None
        if failure:
            failure.abort(context)

    def Ping(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("Ping", request, context)
        return health_pb.PingResponse(status="ok", message="pong")

    def GetServerInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("GetServerInfo", request, context)
        embedder = health_pb.Embedder(name="mock", dimension=384, fingerprint="f1")
        return health_pb.GetServerInfoResponse(
            version="9.9", store="memory", embedders=[embedder], limits=self.limits
        )

    def CreateCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("CreateCollection", request, context)
        return collection_pb.CreateCollectionResponse(collection=request.collection)

    def GetCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("GetCollection", request, context)
        collection = collection_pb.Collection(
            name=request.name or "default", metric=collection_pb.METRIC_COSINE, document_count=3
        )
        return collection_pb.GetCollectionResponse(collection=collection)

    def ListCollections(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("ListCollections", request, context)
        names, token = self._page(["a", "b", "c"], request.page_token)
        found = [collection_pb.Collection(name=name) for name in names]
        return collection_pb.ListCollectionsResponse(collections=found, next_page_token=token)

    def ReembedCollection(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Two steps; of the collection "endless" the first alone, until the caller leaves."""
        self._enter("ReembedCollection", request, context)
        context.add_callback(self.left.set)
        yield collection_pb.ReembedCollectionResponse(done=1, total=2)
        if request.name == "endless":
            self.left.wait(60)
            return
        collection = collection_pb.Collection(name=request.name, embedder=request.embedder)
        yield collection_pb.ReembedCollectionResponse(done=2, total=2, collection=collection)

    def DeleteCollection(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("DeleteCollection", request, context)
        return collection_pb.DeleteCollectionResponse(existed=request.name == "a")

    def IngestDocument(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("IngestDocument", request, context)
        result = self.store(ingestion_pb.IngestItem(document=request.document))
        return ingestion_pb.IngestDocumentResponse(
            doc_id=result.doc_id, status=result.status, revision=result.revision
        )

    def BatchIngestDocuments(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("BatchIngestDocuments", request, context)
        results = [self.store(item) for item in request.items]
        return ingestion_pb.BatchIngestDocumentsResponse(results=results)

    def StreamIngestDocuments(
        self, request_iterator: Iterator[Any], context: grpc.ServicerContext
    ) -> Iterator[Any]:
        self._enter("StreamIngestDocuments", None, context)
        script = self.stream_scripts.popleft() if self.stream_scripts else self.obedient
        yield from script(request_iterator, context)

    def obedient(self, messages: Iterator[Any], _context: grpc.ServicerContext) -> Iterator[Any]:
        """Answer every message as it comes."""
        for message in messages:
            yield self.answer(message)

    def answer(self, message: Any) -> Any:
        """Store what a message holds."""
        self.requests.append(message)
        return ingestion_pb.StreamIngestDocumentsResponse(
            results=[self.store(item) for item in message.items], sequence=message.sequence
        )

    def store(self, item: Any) -> Any:
        """Store one document, or refuse it once as `problems` says."""
        document = item.document
        if self.problems[document.doc_id]:
            return self._refusal(document.doc_id, self.problems[document.doc_id].popleft())
        status = ingestion_pb.INGEST_STATUS_CREATED
        if document.doc_id in self.documents:
            same = self.documents[document.doc_id].text == document.text
            status = ingestion_pb.INGEST_STATUS_UNCHANGED if same else ingestion_pb.INGEST_STATUS_REPLACED
        self.documents[document.doc_id] = document
        self.stored.append(document.doc_id)
        return ingestion_pb.IngestResult(doc_id=document.doc_id, status=status, revision=1, chunk_count=1)

    def _refusal(self, doc_id: str, failure: Failure) -> Any:
        result = ingestion_pb.IngestResult(doc_id=doc_id, status=ingestion_pb.INGEST_STATUS_FAILED)
        result.problem.code = failure.code.value[0]
        result.problem.message = failure.message
        result.problem.reason = errors_pb2.ErrorReason.Value(f"ERROR_REASON_{failure.reason}")
        for name, description in failure.fields.items():
            result.problem.field_violations.add(field=name, description=description)
        if failure.retry_delay is not None:
            result.problem.retry_delay.FromNanoseconds(int(failure.retry_delay * 1e9))
        return result

    def UpdateMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("UpdateMetadata", request, context)
        return ingestion_pb.UpdateMetadataResponse(revision=7, metadata=request.metadata)

    def DeleteDocuments(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("DeleteDocuments", request, context)
        ids = list(self.documents) if request.all else [ref.doc_id for ref in request.documents]
        matched = [doc_id for doc_id in ids if doc_id in self.documents]
        if not request.validate_only:
            for doc_id in matched:
                del self.documents[doc_id]
        deleted = 0 if request.validate_only else len(matched)
        return ingestion_pb.DeleteDocumentsResponse(matched_count=len(matched), deleted_count=deleted)

    def Query(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("Query", request, context)
        return retrieval_pb.QueryResponse(query=request.query, results=self.hits, plan=self.plan)

    def BatchQuery(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("BatchQuery", request, context)
        response = retrieval_pb.BatchQueryResponse()
        for each in request.queries:
            if each.query:
                response.results.add().response.query = each.query
            else:
                response.results.add().problem.CopyFrom(
                    self._refusal("", Failure(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")).problem
                )
        return response

    def GetDocument(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("GetDocument", request, context)
        if request.doc_id not in self.documents:
            Failure(grpc.StatusCode.NOT_FOUND, "DOCUMENT_NOT_FOUND", "no such document").abort(context)
        return retrieval_pb.GetDocumentResponse(document=self.documents[request.doc_id])

    def BatchGetDocuments(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("BatchGetDocuments", request, context)
        found = [self.documents[doc_id] for doc_id in request.doc_ids if doc_id in self.documents]
        return retrieval_pb.BatchGetDocumentsResponse(documents=found)

    def CountDocuments(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("CountDocuments", request, context)
        return retrieval_pb.CountDocumentsResponse(count=len(self.documents))

    def ListChunks(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("ListChunks", request, context)
        texts, token = self._page(["x", "y", "z"], request.page_token)
        response = retrieval_pb.ListChunksResponse(next_page_token=token)
        for text in texts:
            response.chunks.add(text=text)
        return response

    def ListDocuments(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("ListDocuments", request, context)
        ids, token = self._page(sorted(self.documents), request.page_token)
        return retrieval_pb.ListDocumentsResponse(
            documents=[self.documents[doc_id] for doc_id in ids], next_page_token=token
        )

    def _page(self, names: list[str], token: str) -> tuple[list[str], str]:
        begin = int(token or 0)
        end = begin + self.page_size
        return names[begin:end], str(end) if end < len(names) else ""

    def check(self, request: Any, context: grpc.ServicerContext) -> Any:
        """grpc.health.v1's Check, by the same trick that the client uses."""
        self._enter("Check", request, context)
        if request.value == "nobody":
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return wrappers_pb2.Int32Value(value=self.serving)


@contextmanager
def running(
    servicer: ScriptedServer, credentials: grpc.ServerCredentials | None = None
) -> Iterator[grpc.Server]:
    """Serve on a free port until the block ends, with `credentials` through TLS."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
    collection_service_pb2_grpc.add_CollectionServiceServicer_to_server(servicer, server)
    ingestion_service_pb2_grpc.add_IngestionServiceServicer_to_server(servicer, server)
    retrieval_service_pb2_grpc.add_RetrievalServiceServicer_to_server(servicer, server)
    evaluation_service_pb2_grpc.add_EvaluationServiceServicer_to_server(servicer, server)
    health_service_pb2_grpc.add_HealthServiceServicer_to_server(servicer, server)
    check = grpc.unary_unary_rpc_method_handler(
        servicer.check,
        request_deserializer=wrappers_pb2.StringValue.FromString,
        response_serializer=wrappers_pb2.Int32Value.SerializeToString,
    )
    health = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check})
    server.add_generic_rpc_handlers((health,))
    address = servicer.target or "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    servicer.target = f"127.0.0.1:{port}"
    server.start()
    try:
        yield server
    finally:
        server.stop(None).wait()

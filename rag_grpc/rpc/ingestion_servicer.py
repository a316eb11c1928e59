"""IngestionService: convert, call, convert. Errors are raised; an interceptor makes statuses of them.

`about` tells the access log which collection a call is about, and nothing of its texts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from rag_grpc.core.budget import ByteBudget
from rag_grpc.core.errors import RagError
from rag_grpc.core.ingestion import Ingestion
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import DEFAULT_COLLECTION
from rag_grpc.rpc import convert_ingestion as convert
from rag_grpc.rpc.convert import struct_from_proto
from rag_grpc.rpc.drain import Drain
from rag_grpc.rpc.ingest_stream import IngestStream
from rag_grpc.rpc.interceptors.call import about
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import ingestion_service_pb2 as pb
from ragapi.v1.ingestion_service_pb2_grpc import IngestionServiceServicer

MAX_PATIENCE = 20.0
"""Seconds for which a unary write waits for room in the ingest budget, if its deadline allows."""
_SHARE_OF_DEADLINE = 0.8
"""What is left of the deadline is for the write itself, or for the answer that there was no room."""


def patience(context: grpc.aio.ServicerContext[Any, Any]) -> float:
    """Say for how many seconds a call may wait for the budget."""
    remaining: float | None = context.time_remaining()
    return MAX_PATIENCE if remaining is None else min(MAX_PATIENCE, _SHARE_OF_DEADLINE * max(remaining, 0.0))


class IngestionServicer(IngestionServiceServicer):
    """Stores, changes and removes documents.

    Every ingest takes its request's bytes from the budget before anything is converted, split or embedded.
    """

    def __init__(self, *, ingestion: Ingestion, budget: ByteBudget, drain: Drain, limits: Limits) -> None:
        self._ingestion = ingestion
        self._budget = budget
        self._drain = drain
        self._limits = limits
        self._validator = Validator(limits)

    async def IngestDocument(
        self, request: pb.IngestDocumentRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.IngestDocumentResponse:
        """Store one document."""
        self._validator.check(request)
        about(collection=request.collection or DEFAULT_COLLECTION)
        async with self._budget.hold(request.ByteSize(), timeout=patience(context)):
            item = convert.item_from_proto(request)
            (outcome,) = await self._ingestion.ingest(request.collection, [item])
        if isinstance(outcome, RagError):
            raise outcome
        return convert.document_response(request.document.doc_id, outcome)

    async def BatchIngestDocuments(
        self, request: pb.BatchIngestDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.BatchIngestDocumentsResponse:
        """Store several documents, each by itself."""
        self._validator.check(request)
        about(collection=request.collection or DEFAULT_COLLECTION, items=len(request.items))
        size = request.ByteSize()
        async with self._budget.hold(size, timeout=patience(context)):
            items = await convert.items_from_proto(
                request.items, size, self._validator, self._ingestion.steps
            )
            outcomes = await self._ingestion.ingest(request.collection, items)
        response = pb.BatchIngestDocumentsResponse()
        convert.add_results(response.results, convert.doc_ids_of(request.items), outcomes)
        return response

    async def StreamIngestDocuments(  # type: ignore[override]  # the stubs know no coroutine that writes
        self,
        request_iterator: AsyncIterator[pb.StreamIngestDocumentsRequest],
        context: grpc.aio.ServicerContext[pb.StreamIngestDocumentsRequest, pb.StreamIngestDocumentsResponse],
    ) -> None:
        """Store any number of documents; `context` is read, `request_iterator` is not touched."""
        del request_iterator
        stream = IngestStream(
            context,
            ingestion=self._ingestion,
            budget=self._budget,
            drain=self._drain,
            validator=self._validator,
            limits=self._limits,
        )
        await stream.run()

    async def UpdateMetadata(
        self, request: pb.UpdateMetadataRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.UpdateMetadataResponse:
        """Merge a patch into a document's metadata, or replace it."""
        del context
        self._validator.check(request)
        about(collection=request.collection or DEFAULT_COLLECTION)
        outcome = await self._ingestion.update_metadata(
            request.collection,
            request.doc_id,
            struct_from_proto(request.metadata),
            replace=request.replace,
            expected_revision=request.expected_revision if request.HasField("expected_revision") else None,
        )
        return convert.patch_to_proto(outcome)

    async def DeleteDocuments(
        self, request: pb.DeleteDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.DeleteDocumentsResponse:
        """Remove documents by id, by filter, or all of a collection's."""
        del context
        self._validator.check(request)
        about(collection=request.collection or DEFAULT_COLLECTION)
        if request.all or request.filter:
            outcome = await self._ingestion.delete_matching(
                request.collection, request.filter, validate_only=request.validate_only
            )
        else:
            refs = [convert.ref_from_proto(ref) for ref in request.documents]
            outcome = await self._ingestion.delete_refs(
                request.collection, refs, validate_only=request.validate_only
            )
        return convert.delete_to_proto(outcome)

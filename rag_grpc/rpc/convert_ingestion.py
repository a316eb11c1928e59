"""proto <-> models for IngestionService."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

from rag_grpc.core.errors import RagError
from rag_grpc.core.ingestion import IngestItem
from rag_grpc.core.loop_steps import LoopSteps, parted
from rag_grpc.core.models import DeleteOutcome, DocumentRef, IngestStatus, PatchOutcome, PutOutcome
from rag_grpc.rpc.convert import draft_from_proto
from rag_grpc.rpc.plain_items import plain_items
from rag_grpc.rpc.status import cut, problem_of
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import ingestion_service_pb2 as pb
from ragapi.v1 import types_pb2

MAX_DOC_ID_BYTES = 512
Results: TypeAlias = "RepeatedCompositeFieldContainer[pb.IngestResult]"

_STATUS = {
    IngestStatus.CREATED: (pb.INGEST_STATUS_CREATED, "stored"),
    IngestStatus.REPLACED: (pb.INGEST_STATUS_REPLACED, "stored in place of an older version"),
    IngestStatus.UNCHANGED: (pb.INGEST_STATUS_UNCHANGED, "the same content was there already"),
}


def item_from_proto(item: pb.IngestItem | pb.IngestDocumentRequest) -> IngestItem:
    """Take a document and its condition: a request for one document has both by the same names."""
    return IngestItem(
        document=draft_from_proto(item.document),
        expected_revision=item.expected_revision if item.HasField("expected_revision") else None,
    )


async def items_from_proto(
    items: Sequence[pb.IngestItem], size: int, validator: Validator, steps: LoopSteps
) -> list[IngestItem | RagError]:
    """Take the items of a batch of `size` bytes, each by itself: an item at fault becomes its error."""
    taken: list[IngestItem | RagError] = []
    for part, share in parted(items, size):
        if taken:
            await steps.next(share)
        taken += [
            plain or validator.error_of(item) or item_from_proto(item)
            for item, plain in zip(part, plain_items(part, validator.limits), strict=True)
        ]
    return taken


def document_response(doc_id: str, outcome: PutOutcome) -> pb.IngestDocumentResponse:
    """Answer for one document."""
    status, message = _STATUS[outcome.status]
    return pb.IngestDocumentResponse(
        doc_id=doc_id,
        status=status,
        message=message,
        revision=outcome.revision,
        chunk_count=outcome.chunk_count,
    )


def add_results(results: Results, doc_ids: Iterable[str], outcomes: Iterable[PutOutcome | RagError]) -> None:
    """Answer for the documents of a batch, in the order of the request. An id too long comes back cut."""
    told: tuple[RagError, types_pb2.Problem] | None = None  # all items of a message can share one error
    for doc_id, outcome in zip(doc_ids, outcomes, strict=True):
        if isinstance(outcome, RagError):
            if told is None or told[0] is not outcome:
                told = (outcome, problem_of(outcome))
            results.add(doc_id=cut(doc_id, MAX_DOC_ID_BYTES), status=pb.INGEST_STATUS_FAILED, problem=told[1])
        else:
            results.add(
                doc_id=doc_id,
                status=_STATUS[outcome.status][0],
                revision=outcome.revision,
                chunk_count=outcome.chunk_count,
            )


def doc_ids_of(items: Iterable[pb.IngestItem]) -> list[str]:
    """Name the documents of a batch, as its results do."""
    return [item.document.doc_id for item in items]


def patch_to_proto(outcome: PatchOutcome) -> pb.UpdateMetadataResponse:
    """Answer with the metadata as it is now."""
    response = pb.UpdateMetadataResponse(revision=outcome.revision)
    response.metadata.ParseFromString(outcome.packed_metadata)
    return response


def ref_from_proto(ref: pb.DocumentRef) -> DocumentRef:
    """Take a document's name and condition."""
    return DocumentRef(ref.doc_id, ref.expected_revision if ref.HasField("expected_revision") else None)


def delete_to_proto(outcome: DeleteOutcome) -> pb.DeleteDocumentsResponse:
    """Answer with the counts."""
    return pb.DeleteDocumentsResponse(matched_count=outcome.matched, deleted_count=outcome.deleted)

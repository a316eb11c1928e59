"""Rules of IngestionService's requests."""

from __future__ import annotations

from rag_grpc.rpc.field_rules.rule import ANY, COLLECTION, DOC_ID, FILTER, METADATA, MessageRule, Rule

_REVISION = Rule(note="0 means that the document must not exist")
_ITEMS = Rule(required=True, max_items_limit="max_batch_documents", each_alone=True)

RULES = {
    "ragapi.v1.IngestItem.document": Rule(required=True),
    "ragapi.v1.IngestItem.expected_revision": _REVISION,
    "ragapi.v1.IngestDocumentRequest.collection": COLLECTION,
    "ragapi.v1.IngestDocumentRequest.document": Rule(required=True),
    "ragapi.v1.IngestDocumentRequest.expected_revision": _REVISION,
    "ragapi.v1.BatchIngestDocumentsRequest.collection": COLLECTION,
    "ragapi.v1.BatchIngestDocumentsRequest.items": _ITEMS,
    "ragapi.v1.StreamIngestDocumentsRequest.collection": COLLECTION,
    "ragapi.v1.StreamIngestDocumentsRequest.items": _ITEMS,
    "ragapi.v1.StreamIngestDocumentsRequest.sequence": ANY,
    "ragapi.v1.UpdateMetadataRequest.collection": COLLECTION,
    "ragapi.v1.UpdateMetadataRequest.doc_id": DOC_ID,
    "ragapi.v1.UpdateMetadataRequest.metadata": METADATA,
    "ragapi.v1.UpdateMetadataRequest.expected_revision": _REVISION,
    "ragapi.v1.UpdateMetadataRequest.replace": ANY,
    "ragapi.v1.DeleteDocumentsRequest.collection": COLLECTION,
    "ragapi.v1.DeleteDocumentsRequest.documents": Rule(
        max_items=10_000, note="all of them are removed in one step, which holds other writes up"
    ),
    "ragapi.v1.DeleteDocumentsRequest.filter": FILTER,
    "ragapi.v1.DeleteDocumentsRequest.all": ANY,
    "ragapi.v1.DeleteDocumentsRequest.validate_only": ANY,
    "ragapi.v1.DocumentRef.doc_id": DOC_ID,
    "ragapi.v1.DocumentRef.expected_revision": _REVISION,
}

MESSAGE_RULES = {
    "ragapi.v1.DeleteDocumentsRequest": MessageRule(
        "selector", "exactly one of `documents`, `filter` and `all` is set"
    ),
}

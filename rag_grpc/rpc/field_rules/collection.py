"""Rules of CollectionService's requests."""

from __future__ import annotations

from rag_grpc.rpc.field_rules.rule import (
    ANY,
    COLLECTION,
    COLLECTION_NAME,
    LANGUAGE,
    MODEL,
    OUTPUT,
    PAGE_SIZE,
    PAGE_TOKEN,
    MessageRule,
    Rule,
)

RULES = {
    "ragapi.v1.Collection.name": COLLECTION_NAME,
    "ragapi.v1.Collection.embedder": MODEL,
    "ragapi.v1.Collection.dimension": Rule(
        min_value=1, max_value=4096, note="with an embedder it is that embedder's, or unset"
    ),
    "ragapi.v1.Collection.metric": Rule(note="unset means METRIC_COSINE"),
    "ragapi.v1.Collection.chunking": ANY,
    "ragapi.v1.Collection.language": LANGUAGE,
    "ragapi.v1.Collection.document_count": OUTPUT,
    "ragapi.v1.Collection.chunk_count": OUTPUT,
    "ragapi.v1.Collection.create_time": OUTPUT,
    "ragapi.v1.Collection.uid": OUTPUT,
    "ragapi.v1.Collection.embedder_fingerprint": OUTPUT,
    "ragapi.v1.Chunking.max_characters": Rule(
        min_value=16, max_value=100_000, note="0 means the server's default"
    ),
    "ragapi.v1.Chunking.overlap_characters": Rule(max_value=50_000),
    "ragapi.v1.Chunking.max_tokens": Rule(
        min_value=8,
        max_value=100_000,
        note="0 means what the embedder reads, the bound in any case; NOT_CONFIGURED where its tokens cannot"
        " be counted",
    ),
    "ragapi.v1.Chunking.without_context": ANY,
    "ragapi.v1.CreateCollectionRequest.collection": Rule(required=True),
    "ragapi.v1.GetCollectionRequest.name": COLLECTION,
    "ragapi.v1.ListCollectionsRequest.page_size": PAGE_SIZE,
    "ragapi.v1.ListCollectionsRequest.page_token": PAGE_TOKEN,
    "ragapi.v1.ReembedCollectionRequest.name": COLLECTION_NAME,
    "ragapi.v1.ReembedCollectionRequest.embedder": Rule(
        required=True, pattern=MODEL.pattern, words=MODEL.words
    ),
    "ragapi.v1.DeleteCollectionRequest.name": COLLECTION_NAME,
    "ragapi.v1.DeleteCollectionRequest.uid": Rule(max_bytes=128, no_control_characters=True),
}

MESSAGE_RULES = {
    "ragapi.v1.Collection": MessageRule("collection", '`dimension` is set where `embedder` is "none"'),
    "ragapi.v1.Chunking": MessageRule(
        "chunking",
        "`overlap_characters` is less than half of `max_characters`, or of its default where that is unset",
    ),
}

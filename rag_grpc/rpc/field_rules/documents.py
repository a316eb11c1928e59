"""Rules of the messages that several services share (types.proto)."""

from __future__ import annotations

from rag_grpc.rpc.field_rules.rule import ANY, DOC_ID, METADATA, OUTPUT, MessageRule, Rule

RULES = {
    "ragapi.v1.Document.doc_id": DOC_ID,
    "ragapi.v1.Document.text": Rule(max_characters_limit="max_document_characters"),
    "ragapi.v1.Document.media_type": Rule(
        choices=("text/plain", "text/markdown"), note='empty means "text/plain"'
    ),
    "ragapi.v1.Document.title": Rule(
        max_characters=1000, note="it comes back with every hit, so it is short"
    ),
    "ragapi.v1.Document.metadata": METADATA,
    "ragapi.v1.Document.chunks": Rule(max_items_limit="max_document_chunks"),
    "ragapi.v1.Document.embedder_fingerprint": Rule(max_bytes=256, note="input only"),
    "ragapi.v1.Document.revision": OUTPUT,
    "ragapi.v1.Document.content_hash": OUTPUT,
    "ragapi.v1.Document.chunk_count": OUTPUT,
    "ragapi.v1.Document.create_time": OUTPUT,
    "ragapi.v1.Document.update_time": OUTPUT,
    "ragapi.v1.Chunk.ordinal": OUTPUT,
    "ragapi.v1.Chunk.text": Rule(
        required=True, not_blank=True, max_characters_limit="max_document_characters"
    ),
    "ragapi.v1.Chunk.start": ANY,
    "ragapi.v1.Chunk.end": ANY,
    "ragapi.v1.Chunk.vector": Rule(note="its length is the collection's dimension, else DIMENSION_MISMATCH"),
    "ragapi.v1.Chunk.headings": OUTPUT,
    "ragapi.v1.Vector.values": ANY,
    "ragapi.v1.Vector.packed": ANY,
}

MESSAGE_RULES = {
    "ragapi.v1.Document": MessageRule(
        "document",
        "`text` is more than white space, unless `chunks` is set; all chunks carry a vector, or none does;"
        " where there is a `text`, no chunk ends behind it; `embedder_fingerprint` goes with vectors alone",
    ),
    "ragapi.v1.Chunk": MessageRule(
        "chunk", "`start` and `end` are both set or both unset, and `start` is not above `end`"
    ),
    "ragapi.v1.Vector": MessageRule(
        "vector",
        "one of `values` and `packed` at most (a vector with neither counts as unset);"
        " `packed` is a multiple of four bytes; every number is finite",
    ),
}

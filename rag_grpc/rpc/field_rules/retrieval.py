"""Rules of RetrievalService's requests.

Which knobs go with which mode, where "text" is `query` and "-" is INVALID_FIELD:

    mode          | text | vector        | doc_id | fusion    | ef, exact
    DENSE         | yes  | yes, or text  | yes    | -         | yes
    LEXICAL       | must | -             | -      | -         | -
    HYBRID        | must | beside text   | -      | yes       | yes
    UNSPECIFIED   | yes  | yes           | yes    | with text | yes

UNSPECIFIED leaves the choice to the server, which looks at the collection and at the
words of the text too. So only what no choice could use contradicts it.
"""

from __future__ import annotations

from rag_grpc.rpc.field_rules.rule import (
    ANY,
    COLLECTION,
    DOC_ID,
    FILTER,
    MAX_KEY_BYTES,
    MODEL,
    PAGE_SIZE,
    PAGE_TOKEN,
    MessageRule,
    Rule,
)

RULES = {
    "ragapi.v1.QueryRequest.collection": COLLECTION,
    "ragapi.v1.QueryRequest.query": Rule(not_blank=True, max_characters_limit="max_query_characters"),
    "ragapi.v1.QueryRequest.vector": Rule(
        note="its length is the collection's dimension, else DIMENSION_MISMATCH"
    ),
    "ragapi.v1.QueryRequest.doc_id": Rule(max_bytes=512, no_control_characters=True),
    "ragapi.v1.QueryRequest.top_k": Rule(max_value_limit="max_top_k", note="0 means 10"),
    "ragapi.v1.QueryRequest.offset": Rule(max_value_limit="max_top_k"),
    "ragapi.v1.QueryRequest.filter": FILTER,
    "ragapi.v1.QueryRequest.mode": Rule(note="see [modes](retrieval.md#modes)"),
    "ragapi.v1.QueryRequest.min_score": ANY,
    "ragapi.v1.QueryRequest.max_hits_per_document": Rule(note="0 means no bound"),
    "ragapi.v1.QueryRequest.fusion": ANY,
    "ragapi.v1.QueryRequest.rerank": ANY,
    "ragapi.v1.QueryRequest.ef": Rule(max_value_limit="max_ef", note="0 means the server's default"),
    "ragapi.v1.QueryRequest.exact": ANY,
    "ragapi.v1.QueryRequest.omit": Rule(specified=True, max_items=8),
    "ragapi.v1.QueryRequest.metadata_keys": Rule(
        required=False, max_items=256, max_bytes=MAX_KEY_BYTES, note="no key is empty"
    ),
    "ragapi.v1.QueryRequest.include_vectors": ANY,
    "ragapi.v1.QueryRequest.highlight": ANY,
    "ragapi.v1.QueryRequest.explain": ANY,
    "ragapi.v1.Fusion.dense_weight": Rule(
        min_value=0, max_value=1, note="unset means what the collection's embedder declares"
    ),
    "ragapi.v1.Fusion.rank_constant": Rule(max_value=10_000, note="0 means 10"),
    "ragapi.v1.Rerank.mmr": ANY,
    "ragapi.v1.Rerank.cross_encoder": ANY,
    "ragapi.v1.Rerank.candidates": Rule(max_value_limit="max_candidates", note="0 means four times `top_k`"),
    "ragapi.v1.MaximalMarginalRelevance.diversity": Rule(min_value=0, max_value=1, note="unset means 0.5"),
    "ragapi.v1.CrossEncoder.model": MODEL,
    "ragapi.v1.BatchQueryRequest.queries": Rule(
        required=True, max_items_limit="max_batch_queries", each_alone=True
    ),
    "ragapi.v1.GetDocumentRequest.collection": COLLECTION,
    "ragapi.v1.GetDocumentRequest.doc_id": DOC_ID,
    "ragapi.v1.BatchGetDocumentsRequest.collection": COLLECTION,
    "ragapi.v1.BatchGetDocumentsRequest.doc_ids": Rule(
        required=True, max_items=1000, max_bytes=512, no_control_characters=True, note="none is empty"
    ),
    "ragapi.v1.CountDocumentsRequest.collection": COLLECTION,
    "ragapi.v1.CountDocumentsRequest.filter": FILTER,
    "ragapi.v1.ListChunksRequest.collection": COLLECTION,
    "ragapi.v1.ListChunksRequest.doc_id": DOC_ID,
    "ragapi.v1.ListChunksRequest.page_size": PAGE_SIZE,
    "ragapi.v1.ListChunksRequest.page_token": PAGE_TOKEN,
    "ragapi.v1.ListChunksRequest.include_vectors": ANY,
    "ragapi.v1.ListDocumentsRequest.collection": COLLECTION,
    "ragapi.v1.ListDocumentsRequest.filter": FILTER,
    "ragapi.v1.ListDocumentsRequest.page_size": PAGE_SIZE,
    "ragapi.v1.ListDocumentsRequest.page_token": PAGE_TOKEN,
    "ragapi.v1.ListDocumentsRequest.include_text": ANY,
    "ragapi.v1.ListDocumentsRequest.include_total_count": ANY,
}

MESSAGE_RULES = {
    "ragapi.v1.QueryRequest": MessageRule(
        "query",
        "at least one of `query`, `vector` and `doc_id` is set, and `doc_id` alone; no knob is set that the"
        " mode cannot use: `fusion` in DENSE and LEXICAL, `vector`, `doc_id`, `ef` and `exact` in LEXICAL,"
        " `doc_id` in HYBRID, a `query` beside a `vector` in DENSE unless `rerank` or `highlight` use it;"
        " LEXICAL, HYBRID, `fusion`, `highlight` and a cross-encoder need a `query`; `ef` does not go with"
        " `exact`,"
        " `metadata_keys` does not go with omitted metadata; `top_k` and `offset` together stay within"
        " `max_top_k`",
    ),
    "ragapi.v1.Rerank": MessageRule("rerank", "one of `mmr` and `cross_encoder` is set"),
}

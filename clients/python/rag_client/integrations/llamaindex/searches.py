"""What a VectorStoreQuery asks of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.vector_stores.types import (
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from rag_client.integrations.llamaindex import nodes
from rag_client.integrations.llamaindex.filters import filter_text
from rag_client.queries import Fusion, Rerank

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rag_client.queries import QueryFields, QueryResult

WORDS = (VectorStoreQueryMode.SPARSE, VectorStoreQueryMode.TEXT_SEARCH)
BOTH = (VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.SEMANTIC_HYBRID)
NEARNESS = (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR)


def asked(query: VectorStoreQuery, options: Mapping[str, Any], *, server_embeds: bool) -> QueryFields:
    """Return the query for the server. `options` are those of `RagClient.query`, and `mmr_threshold`.

    Where the server embeds, DEFAULT leaves the mode to it. Raises ValueError for a mode that it has not, and
    where the text or the embedding that a mode needs is missing.
    """
    given = dict(options)
    rerank = _variety(query, given)
    fields: dict[str, Any] = {
        "top_k": query.similarity_top_k,
        "filter": filter_text(
            query.filters,
            # An index over a store that keeps texts knows of no nodes, and so sends an empty list.
            node_ids=query.node_ids or None,
            ref_doc_ids=query.doc_ids or None,
        ),
        **_evidence(query, server_embeds=server_embeds),
        **rerank,
        **given,
    }
    if query.mode in BOTH and query.hybrid_top_k:
        fields["top_k"] = query.hybrid_top_k
    typed: Any = fields
    found: QueryFields = typed
    return found


def _evidence(query: VectorStoreQuery, *, server_embeds: bool) -> dict[str, Any]:
    if query.mode in WORDS:
        return {"query": _text(query), "mode": "lexical"}
    if query.mode in BOTH:
        fusion = None if query.alpha is None else Fusion(dense_weight=query.alpha)
        both = {"query": _text(query), "mode": "hybrid", "fusion": fusion}
        return both if server_embeds else {**both, "vector": _embedding(query)}
    if query.mode in NEARNESS:
        return {"query": _text(query)} if server_embeds else {"vector": _embedding(query), "mode": "dense"}
    known = ", ".join(mode.name for mode in (*NEARNESS, *WORDS, *BOTH))
    raise ValueError(f"there is no mode {query.mode.name}; there are {known}")


def _variety(query: VectorStoreQuery, options: dict[str, Any]) -> dict[str, Any]:
    """Take MMR's own options out of the others. LlamaIndex's threshold is 1 for nearness alone, ours 0."""
    threshold = options.pop("mmr_threshold", query.mmr_threshold)
    candidates = options.pop("mmr_prefetch_k", 0)
    if query.mode != VectorStoreQueryMode.MMR:
        return {}
    diversity = None if threshold is None else 1.0 - threshold
    return {"rerank": Rerank("mmr", diversity=diversity, candidates=candidates)}


def answered(result: QueryResult) -> VectorStoreQueryResult:
    """Return the server's answer as LlamaIndex's: scores are larger for better hits."""
    found = [nodes.of_hit(hit) for hit in result.hits]
    scores = [hit.score for hit in result.hits]
    return VectorStoreQueryResult(nodes=found, similarities=scores, ids=[node.node_id for node in found])


def _text(query: VectorStoreQuery) -> str:
    if not query.query_str:
        raise ValueError(f"a query of mode {query.mode.name} needs its text, `query_str`")
    return query.query_str


def _embedding(query: VectorStoreQuery) -> list[float]:
    if query.query_embedding is None:
        raise ValueError(f"a query of mode {query.mode.name} needs its embedding, `query_embedding`")
    return query.query_embedding

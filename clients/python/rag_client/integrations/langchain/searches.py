"""What a LangChain search asks of the server, and what it makes of the hits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from rag_client.integrations.langchain.filters import filter_text
from rag_client.queries import Rerank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rag_client import models
    from rag_client.queries import Hit, QueryFields, QueryResult

MADE_OF_A_HIT = ("title", "headings", "ordinal", "start", "end", "relevance_score")
"""Keys that a hit brings into a Document's metadata, where the metadata has no such key itself."""


def by_text(query: str, k: int, options: Mapping[str, Any]) -> QueryFields:
    """Return a query whose text the server embeds."""
    return _fields(k, options) | {"query": query}


def by_vector(
    embedding: Sequence[float], k: int, options: Mapping[str, Any], *, query: str = ""
) -> QueryFields:
    """Return a query for a caller's embedding: DENSE, unless `options` say that the words count too.

    The text goes beside the embedding where something reads it; elsewhere the server refuses it as useless.
    """
    fields = _fields(k, options) | {"vector": embedding}
    fields.setdefault("mode", "dense")
    if query and (fields["mode"] == "hybrid" or "rerank" in fields or "highlight" in fields):
        fields["query"] = query
    return fields


def varied(options: Mapping[str, Any], k: int, fetch_k: int, lambda_mult: float) -> dict[str, Any]:
    """Return the options of a search for variety. LangChain's lambda is 1 for nearness alone, ours 0."""
    rerank = Rerank("mmr", diversity=1.0 - lambda_mult, candidates=max(fetch_k, k))
    return {**options, "rerank": rerank}


def relevance(result: QueryResult, metric: str) -> list[float]:
    """Return each hit's score on LangChain's scale of 0 to 1. Raises ValueError where there is no such scale.

    A fused score is on it. A cosine is taken as it is, and as 0 where it points away; the negated squared
    distance -d of "euclidean" as 1 / (1 + d). BM25 and inner products have no upper bound.
    """
    scores = [hit.score for hit in result.hits]
    if result.plan.mode == "hybrid":
        return scores
    if result.plan.mode == "dense" and metric == "cosine":
        return [min(max(score, 0.0), 1.0) for score in scores]
    if result.plan.mode == "dense" and metric == "euclidean":
        return [1.0 / (1.0 - score) for score in scores]
    raise ValueError(
        f"scores of mode {result.plan.mode!r} with the metric {metric!r} have no scale of 0 to 1: "
        "use similarity_search_with_score, and min_score for a threshold"
    )


def as_stored(hit: Hit) -> Document:
    """Return a hit as the document that was stored: nothing is added to its metadata."""
    return Document(hit.chunk.text, id=hit.doc_id, metadata=dict(hit.metadata))


def as_found(hit: Hit) -> Document:
    """Return a hit with what is known about it; metadata of the document's own wins."""
    chunk = hit.chunk
    known = (hit.title, list(chunk.headings), chunk.ordinal, chunk.start, chunk.end, hit.score)
    facts = {
        name: value for name, value in zip(MADE_OF_A_HIT, known, strict=True) if value not in ("", [], None)
    }
    return Document(chunk.text, id=hit.doc_id, metadata={**facts, **hit.metadata})


def as_read(document: models.Document) -> Document:
    """Return a document that was read by its id."""
    return Document(document.text, id=document.doc_id, metadata=dict(document.metadata))


def _fields(k: int, options: Mapping[str, Any]) -> QueryFields:
    if k < 1:
        raise ValueError(f"k is {k}; a search is for one document at least")
    given = {name: value for name, value in options.items() if value is not None}
    whole: Any = {**given, "top_k": k, "filter": filter_text(given.get("filter"))}
    fields: QueryFields = whole
    return fields

"""proto <-> models for RetrievalService."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration

from rag_grpc.core.queries import (
    DEFAULT_DIVERSITY,
    DEFAULT_TOP_K,
    CrossEncoding,
    Query,
    QueryResult,
    Rerank,
    Variety,
)
from rag_grpc.core.searches import ALL_PARTS, Hit, HitParts, SearchMode, SearchStrategy
from rag_grpc.rpc.convert import Projection, fill_chunk, vector_from_proto
from ragapi.v1 import retrieval_service_pb2 as pb

_STRATEGY = {
    SearchStrategy.ANN: pb.SEARCH_STRATEGY_ANN,
    SearchStrategy.EXACT: pb.SEARCH_STRATEGY_EXACT,
    SearchStrategy.ANN_THEN_EXACT: pb.SEARCH_STRATEGY_ANN_THEN_EXACT,
    SearchStrategy.LEXICAL: pb.SEARCH_STRATEGY_LEXICAL,
}
_MODE = {
    SearchMode.DENSE: pb.SEARCH_MODE_DENSE,
    SearchMode.LEXICAL: pb.SEARCH_MODE_LEXICAL,
    SearchMode.HYBRID: pb.SEARCH_MODE_HYBRID,
}
_MODE_OF = {number: mode for mode, number in _MODE.items()}
_PARTS = ("dense", "dense_rank", "lexical", "lexical_rank", "rerank")


def query_from_proto(request: pb.QueryRequest, *, packed: bool = False) -> Query:
    """Take a query that was checked: what it does not set has the contract's defaults.

    With `packed` hits are wanted as they are sent, where nothing that is asked for must look into them.
    """
    has = request.HasField
    return Query(
        collection=request.collection,
        text=request.query,
        vector=vector_from_proto(request.vector) if has("vector") else None,
        doc_id=request.doc_id,
        top_k=request.top_k or DEFAULT_TOP_K,
        offset=request.offset,
        filter=request.filter,
        mode=_MODE_OF.get(request.mode),
        min_score=request.min_score if has("min_score") else None,
        max_hits_per_document=request.max_hits_per_document,
        dense_weight=request.fusion.dense_weight if request.fusion.HasField("dense_weight") else None,
        rank_constant=request.fusion.rank_constant,
        rerank=_rerank_from_proto(request.rerank) if has("rerank") else None,
        ef=request.ef,
        exact=request.exact,
        parts=_parts_from_proto(request, packed=packed),
        highlight=request.highlight,
    )


def _rerank_from_proto(rerank: pb.Rerank) -> Rerank:
    if rerank.HasField("cross_encoder"):
        return CrossEncoding(rerank.cross_encoder.model, rerank.candidates)
    mmr = rerank.mmr
    return Variety(mmr.diversity if mmr.HasField("diversity") else DEFAULT_DIVERSITY, rerank.candidates)


def _parts_from_proto(request: pb.QueryRequest, *, packed: bool) -> HitParts:
    omitted = request.omit
    packed = packed and not (
        request.explain or request.highlight or request.include_vectors or request.metadata_keys
    )
    if not (omitted or request.include_vectors or packed):
        return ALL_PARTS
    return HitParts(
        text=pb.HIT_FIELD_TEXT not in omitted,
        title=pb.HIT_FIELD_TITLE not in omitted,
        metadata=pb.HIT_FIELD_METADATA not in omitted,
        vectors=request.include_vectors,
        packed=packed,
    )


def answer_to_proto(request: pb.QueryRequest, result: QueryResult) -> pb.QueryResponse:
    """Answer a query: hits, how they were found, and with `explain` why and how fast."""
    response = pb.QueryResponse()
    fill_answer(response, request, result)
    return response


def fill_answer(response: pb.QueryResponse, request: pb.QueryRequest, result: QueryResult) -> None:
    """Write an answer into a message that is part of a batch: protobuf would copy a finished one."""
    response.query = request.query
    fill_hits(response.results, request, result)
    fill_plan(response.plan, result.strategy, result.mode, result.matching_chunks)
    if request.explain:
        set_stages(response.plan, result.stages)


def fill_hits(hits: Any, request: pb.QueryRequest, result: QueryResult) -> None:
    """Write what was found into a repeated field of hits."""
    projection = Projection(frozenset(request.metadata_keys))
    explain = request.explain
    add = hits.add
    for hit in result.hits:
        # Set one by one, fields cost half of what they cost as keywords.
        message = add()
        message.doc_id = hit.doc_id
        message.score = hit.score
        message.title = hit.title
        fill_chunk(message.chunk, hit.chunk)
        if hit.packed_metadata is not None:
            projection.into(message.metadata, hit.packed_metadata)
        if explain:
            _set_parts(message.parts, hit)
    if result.highlights is not None:
        for message, spans in zip(hits, result.highlights, strict=True):
            for span in spans:
                message.highlights.add(start=span.start, end=span.end)


def fill_plan(
    plan: pb.SearchPlan, strategy: SearchStrategy, mode: SearchMode, matching_chunks: int | None
) -> None:
    """Say how an answer was found."""
    plan.strategy = _STRATEGY[strategy]
    plan.mode = _MODE[mode]
    if matching_chunks is not None:
        plan.matching_chunks = matching_chunks


def _set_parts(parts: pb.ScoreParts, hit: Hit) -> None:
    parts.SetInParent()
    for name in _PARTS:
        value = getattr(hit, name)
        if value is not None:
            setattr(parts, name, value)


def set_stages(plan: pb.SearchPlan, stages: Mapping[str, float]) -> None:
    """Say how many seconds each stage took."""
    for name, seconds in stages.items():
        nanoseconds = max(0, round(seconds * 1e9))
        plan.stages[name].CopyFrom(Duration(seconds=nanoseconds // 10**9, nanos=nanoseconds % 10**9))

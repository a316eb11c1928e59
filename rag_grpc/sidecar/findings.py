"""What was found and answered -> JSON for the page. Offsets are in code points, as in the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rag_grpc.core.answers import Answer
from rag_grpc.core.models import TextSpan
from rag_grpc.core.ports import MetadataCodec
from rag_grpc.core.queries import QueryResult
from rag_grpc.core.searches import Hit

MAX_METADATA_BYTES = 4096
"""Of one hit; more is not shown, but its size is."""


def result_to_json(result: QueryResult, codec: MetadataCodec) -> dict[str, Any]:
    """Tell the hits of a query, and how they were found."""
    marked = result.highlights or [()] * len(result.hits)
    return {
        "hits": [hit_to_json(hit, codec, marks) for hit, marks in zip(result.hits, marked, strict=True)],
        "plan": {
            "mode": result.mode.value,
            "strategy": result.strategy.value,
            "matching_chunks": result.matching_chunks,
        },
        "stages": dict(result.stages),
    }


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """Tell an answer, without what was found for it: that has been told before."""
    return {
        "text": answer.text,
        "grounded": answer.grounded,
        "claims": [
            {
                "start": claim.span.start,
                "end": claim.span.end,
                "sources": list(claim.sources),
                "support": claim.support,
            }
            for claim in answer.claims
        ],
        "generator": answer.generator,
        "finish": answer.stop.value,
        "tokens": {"input": answer.input_tokens, "output": answer.output_tokens},
    }


def hit_to_json(hit: Hit, codec: MetadataCodec, marks: Sequence[TextSpan] = ()) -> dict[str, Any]:
    """Tell one hit, with each part of its score; a part is null where that side did not find it."""
    chunk, packed = hit.chunk, hit.packed_metadata or b""
    return {
        "doc_id": hit.doc_id,
        "title": hit.title,
        "ordinal": chunk.ordinal,
        "headings": list(chunk.headings),
        "text": chunk.text,
        "marks": [[span.start, span.end] for span in marks],
        "metadata": codec.unpack(packed) if packed and len(packed) <= MAX_METADATA_BYTES else None,
        "metadata_bytes": len(packed),
        "score": hit.score,
        "dense": hit.dense,
        "dense_rank": hit.dense_rank,
        "lexical": hit.lexical,
        "lexical_rank": hit.lexical_rank,
        "rerank": hit.rerank,
    }

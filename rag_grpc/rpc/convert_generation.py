"""proto <-> models for GenerationService."""

from __future__ import annotations

from rag_grpc.core.answers import Answer, AnswerRequest, Stop
from rag_grpc.core.generation import DEFAULT_SOURCES
from rag_grpc.core.queries import QueryResult
from rag_grpc.rpc.convert_retrieval import fill_hits, query_from_proto
from ragapi.v1 import generation_service_pb2 as pb
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb

_REASONS = {
    Stop.COMPLETE: pb.FINISH_REASON_STOP,
    Stop.LENGTH: pb.FINISH_REASON_LENGTH,
    Stop.NOT_GROUNDED: pb.FINISH_REASON_NOT_GROUNDED,
}


def options_from_proto(options: pb.AnswerOptions) -> AnswerRequest:
    """Take options that were checked: what they do not set has the contract's defaults."""
    return AnswerRequest(
        query=query_from_proto(options.retrieval)._replace(top_k=options.retrieval.top_k or DEFAULT_SOURCES),
        generator=options.generator,
        max_output_tokens=options.max_output_tokens,
        temperature=options.temperature,
        instructions=options.instructions,
    )


def sources_to_proto(request: retrieval_pb.QueryRequest, found: QueryResult) -> pb.Sources:
    """Say what was found."""
    sources = pb.Sources()
    fill_hits(sources.hits, request, found)
    return sources


def answer_to_proto(sources: pb.Sources, answer: Answer) -> pb.Answer:
    """Say what an answer came to."""
    message = pb.Answer(
        text=answer.text,
        grounded=answer.grounded,
        sources=sources.hits,
        generator=answer.generator,
        finish_reason=_REASONS[answer.stop],
        usage=pb.TokenUsage(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens),
    )
    for claim in answer.claims:
        added = message.claims.add(sources=claim.sources, support=claim.support)
        added.span.start, added.span.end = claim.span.start, claim.span.end
    return message

"""Requests and responses of GenerationService, the same way for both clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag_client import results
from rag_client.answers import Answer, AnswerEvent, Claim, Sources
from rag_client.messages import query_message
from rag_client.requests import Call
from ragapi.v1 import generation_service_pb2 as generation_pb

if TYPE_CHECKING:
    from rag_client.queries import QueryFields


def generate_answer(query: QueryFields, **options: Any) -> Call[Answer]:
    """Build GenerateAnswer."""
    request = generation_pb.GenerateAnswerRequest(options=_options(query, **options))
    return Call("GenerateAnswer", request, lambda response: answer(response.answer))


def stream_answer(query: QueryFields, **options: Any) -> Call[AnswerEvent]:
    """Build StreamAnswer, whose responses are read one by one."""
    return Call("StreamAnswer", generation_pb.StreamAnswerRequest(options=_options(query, **options)), event)


def _options(
    query: QueryFields,
    *,
    generator: str,
    max_output_tokens: int,
    temperature: float | None,
    instructions: str,
) -> generation_pb.AnswerOptions:
    return generation_pb.AnswerOptions(
        retrieval=query_message(query),
        generator=generator,
        max_output_tokens=max_output_tokens,
        temperature=temperature,
        instructions=instructions,
    )


def event(response: generation_pb.StreamAnswerResponse) -> AnswerEvent:
    """Read one message of StreamAnswer."""
    match response.WhichOneof("event"):
        case "sources":
            return Sources(tuple(results.hit(each) for each in response.sources.hits))
        case "answer":
            return answer(response.answer)
        case _:
            return response.text


def answer(message: generation_pb.Answer) -> Answer:
    """Read an answer."""
    return Answer(
        text=message.text,
        grounded=message.grounded,
        claims=tuple(
            Claim(each.span.start, each.span.end, tuple(each.sources), each.support)
            for each in message.claims
        ),
        sources=tuple(results.hit(each) for each in message.sources),
        generator=message.generator,
        finish_reason=results.word(generation_pb.FinishReason, "FINISH_REASON_", message.finish_reason),
        input_tokens=message.usage.input_tokens,
        output_tokens=message.usage.output_tokens,
    )

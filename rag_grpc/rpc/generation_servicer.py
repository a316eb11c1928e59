"""GenerationService: convert, call, convert, and keep every response below its limit.

Both calls are one stream in the core. What was found is measured before anything is
written: an answer that would be too large with its sources is refused before it costs
anything.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from rag_grpc.core.answers import Answer
from rag_grpc.core.generation import Generation
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import DEFAULT_COLLECTION
from rag_grpc.core.queries import QueryResult
from rag_grpc.rpc import convert_generation as convert
from rag_grpc.rpc.interceptors.call import about
from rag_grpc.rpc.response_size import too_large
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import generation_service_pb2 as pb
from ragapi.v1.generation_service_pb2_grpc import GenerationServiceServicer

_ASK_FOR_LESS = "lower `top_k`, or `omit` parts of the hits"


class GenerationServicer(GenerationServiceServicer):
    """Answers questions."""

    def __init__(self, *, generation: Generation, limits: Limits) -> None:
        self._generation = generation
        self._max_bytes = limits.max_response_bytes
        self._validator = Validator(limits)

    async def GenerateAnswer(
        self, request: pb.GenerateAnswerRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GenerateAnswerResponse:
        """Answer in one response."""
        del context
        self._validator.check(request)
        response = pb.GenerateAnswerResponse()
        async with aclosing(self._events(request.options)) as events:
            async for each in events:
                if isinstance(each, pb.Answer):
                    response.answer.CopyFrom(each)
        self._check_size(response.ByteSize())
        return response

    async def StreamAnswer(  # type: ignore[override]  # the stubs know no coroutine that writes
        self, request: pb.StreamAnswerRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Answer as it is written."""
        self._validator.check(request)
        async with aclosing(self._events(request.options)) as events:
            async for each in events:
                if isinstance(each, str):
                    response = pb.StreamAnswerResponse(text=each)
                elif isinstance(each, pb.Sources):
                    response = pb.StreamAnswerResponse(sources=each)
                else:
                    response = pb.StreamAnswerResponse(answer=each)
                    self._check_size(response.ByteSize())
                await context.write(response)

    async def _events(self, options: pb.AnswerOptions) -> AsyncGenerator[pb.Sources | str | pb.Answer, None]:
        """Give what becomes of a request, as messages."""
        asked = convert.options_from_proto(options)
        about(collection=asked.query.collection or DEFAULT_COLLECTION)
        sources = pb.Sources()
        async with aclosing(self._generation.stream(asked)) as events:
            async for each in events:
                if isinstance(each, QueryResult):
                    sources = convert.sources_to_proto(options.retrieval, each)
                    self._check_size(sources.ByteSize())
                    yield sources
                elif isinstance(each, Answer):
                    about(generator=each.generator, sources=len(sources.hits), grounded=each.grounded)
                    yield convert.answer_to_proto(sources, each)
                else:
                    yield each

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise too_large(size, self._max_bytes, _ASK_FOR_LESS)

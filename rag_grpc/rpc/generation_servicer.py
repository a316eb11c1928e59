"""GenerationService, which later releases bring: requests are checked, then NOT_CONFIGURED."""

from __future__ import annotations

from typing import Any

import grpc

from rag_grpc.core.limits import Limits
from rag_grpc.rpc.findings import not_available
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import generation_service_pb2 as pb
from ragapi.v1.generation_service_pb2_grpc import GenerationServiceServicer


class GenerationServicer(GenerationServiceServicer):
    """Says that answers are not there yet."""

    def __init__(self, *, limits: Limits) -> None:
        self._validator = Validator(limits)

    async def GenerateAnswer(
        self, request: pb.GenerateAnswerRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GenerateAnswerResponse:
        """Say so."""
        del context
        self._validator.check(request)
        raise not_available("GenerateAnswer")

    async def StreamAnswer(  # type: ignore[override]  # the stubs know no coroutine that writes
        self, request: pb.StreamAnswerRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Say so."""
        del context
        self._validator.check(request)
        raise not_available("StreamAnswer")

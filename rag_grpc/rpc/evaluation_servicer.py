"""EvaluationService, which later releases bring: requests are checked, then NOT_CONFIGURED."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from rag_grpc.core.errors import FieldViolation, InvalidField
from rag_grpc.core.limits import Limits
from rag_grpc.rpc.findings import not_available
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import evaluation_service_pb2 as pb
from ragapi.v1.evaluation_service_pb2_grpc import EvaluationServiceServicer


class EvaluationServicer(EvaluationServiceServicer):
    """Says that measuring is not there yet."""

    def __init__(self, *, limits: Limits) -> None:
        self._validator = Validator(limits)

    async def EvaluateRetrieval(  # type: ignore[override]  # the stubs know no coroutine that writes
        self,
        request_iterator: AsyncIterator[pb.EvaluateRetrievalRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """Check the first message, then say so."""
        del request_iterator
        first: Any = await context.read()
        if not isinstance(first, pb.EvaluateRetrievalRequest) or not first.HasField("template"):
            raise InvalidField.of([FieldViolation("template", "is required in the first message")])
        self._validator.check(first)
        raise not_available("EvaluateRetrieval")

    async def EvaluateFaithfulness(
        self, request: pb.EvaluateFaithfulnessRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.EvaluateFaithfulnessResponse:
        """Say so."""
        del context
        self._validator.check(request)
        raise not_available("EvaluateFaithfulness")

    async def MeasureIndexRecall(
        self, request: pb.MeasureIndexRecallRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.MeasureIndexRecallResponse:
        """Say so."""
        del context
        self._validator.check(request)
        raise not_available("MeasureIndexRecall")

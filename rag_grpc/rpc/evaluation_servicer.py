"""EvaluationService: how good retrieval, answers and the index are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from rag_grpc.core.faithfulness import FaithfulnessEvaluation
from rag_grpc.core.index_recall import IndexMeasuring
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import DEFAULT_COLLECTION
from rag_grpc.core.retrieval_evaluation import RetrievalEvaluation
from rag_grpc.rpc import convert_evaluation as convert
from rag_grpc.rpc.drain import Drain
from rag_grpc.rpc.evaluation_stream import EvaluationStream
from rag_grpc.rpc.interceptors.call import about
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import evaluation_service_pb2 as pb
from ragapi.v1.evaluation_service_pb2_grpc import EvaluationServiceServicer

MODEL_NAME_BYTES = 256
"""What a judge's name takes at most, with all that is around it."""


class EvaluationServicer(EvaluationServiceServicer):
    """Measures this server on its own data."""

    def __init__(
        self,
        *,
        retrieval: RetrievalEvaluation,
        index: IndexMeasuring,
        faithfulness: FaithfulnessEvaluation,
        drain: Drain,
        limits: Limits,
    ) -> None:
        self._retrieval = retrieval
        self._index = index
        self._faithfulness = faithfulness
        self._max_bytes = limits.max_response_bytes
        self._drain = drain
        self._validator = Validator(limits)

    async def EvaluateRetrieval(  # type: ignore[override]  # the stubs know no coroutine that writes
        self,
        request_iterator: AsyncIterator[pb.EvaluateRetrievalRequest],
        context: grpc.aio.ServicerContext[pb.EvaluateRetrievalRequest, pb.EvaluateRetrievalResponse],
    ) -> None:
        """Run labelled queries; `context` is read, `request_iterator` is not touched."""
        del request_iterator
        stream = EvaluationStream(
            context, evaluation=self._retrieval, drain=self._drain, validator=self._validator
        )
        await stream.run()

    async def EvaluateFaithfulness(
        self, request: pb.EvaluateFaithfulnessRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.EvaluateFaithfulnessResponse:
        """Weigh answers against their contexts."""
        del context
        self._validator.check(request)
        about(answers=len(request.answers))
        room = self._max_bytes - MODEL_NAME_BYTES - len(request.answers) * convert.RESULT_BYTES
        report = await self._faithfulness.evaluate(
            [convert.answer_from_proto(each) for each in request.answers],
            judge=request.judge,
            most_sentences=room // convert.SENTENCE_BYTES,
        )
        # Of a hundred thousand sentences it takes a quarter of a second.
        return await asyncio.to_thread(convert.faithfulness_to_proto, report)

    async def MeasureIndexRecall(
        self, request: pb.MeasureIndexRecallRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.MeasureIndexRecallResponse:
        """Compare the graph with exact search."""
        del context
        self._validator.check(request)
        about(collection=request.collection or DEFAULT_COLLECTION)
        measured = await self._index.measure(
            request.collection, sample_size=request.sample_size, top_k=request.top_k, ef=request.ef
        )
        return pb.MeasureIndexRecallResponse(
            recall=measured.recall, recall_p5=measured.recall_p5, sample_size=measured.sample_size
        )

"""EvaluationService of the scripted server: scores that anybody can compute, and trouble on order."""

# ruff: noqa: N802 - the contract names the methods
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragapi.v1 import evaluation_service_pb2 as pb
from ragapi.v1 import evaluation_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc


class ScriptedEvaluation(evaluation_service_pb2_grpc.EvaluationServiceServicer):
    """A query's nDCG is its label, its recall the share of 10 that its text has letters."""

    requests: list[Any]

    def _enter(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        raise NotImplementedError

    def EvaluateRetrieval(
        self, request_iterator: Iterator[Any], context: grpc.ServicerContext
    ) -> Iterator[Any]:
        count = 0
        for message in request_iterator:
            self._enter("EvaluateRetrieval", message, context)
            for query in message.queries:
                count += 1
                scores = pb.QueryScores(query_id=query.query_id, recall=len(query.text) / 10)
                scores.doc_ids.extend(query.relevance)
                scores.ndcg = max(query.relevance.values())
                scores.latency.FromMilliseconds(count)
                yield pb.EvaluateRetrievalResponse(query=scores)
            yield pb.EvaluateRetrievalResponse(progress=pb.EvaluationProgress(done=count, received=count))
        yield pb.EvaluateRetrievalResponse()  # as from a newer server
        report = pb.RetrievalReport(query_count=count, mean_average_precision=0.5)
        report.cutoffs.add(k=10, recall=0.1, precision=0.2, ndcg=0.3, reciprocal_rank=0.4, hit_rate=0.5)
        report.latency_p50.FromMilliseconds(3)
        report.latency_p99.FromMilliseconds(1500)
        yield pb.EvaluateRetrievalResponse(report=report)

    def MeasureIndexRecall(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("MeasureIndexRecall", request, context)
        return pb.MeasureIndexRecallResponse(
            recall=0.75, recall_p5=0.5, sample_size=request.sample_size or 100
        )

    def EvaluateFaithfulness(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._enter("EvaluateFaithfulness", request, context)
        response = pb.EvaluateFaithfulnessResponse(judge=request.judge or "lexical")
        for answer in request.answers:
            result = response.results.add(faithfulness=1 if answer.answer in answer.contexts else 0.25)
            sentence = result.sentences.add(
                support=result.faithfulness, context_index=len(answer.contexts) - 1
            )
            sentence.span.start, sentence.span.end = 0, len(answer.answer)
        return response

"""proto <-> models for EvaluationService."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from rag_grpc.core.faithfulness import AnswerWithContext, Faithfulness, FaithfulnessReport
from rag_grpc.core.measures import CutoffScores
from rag_grpc.core.queries import Query
from rag_grpc.core.retrieval_evaluation import LabelledQuery, QueryScores, RetrievalReport
from rag_grpc.rpc.convert_retrieval import query_from_proto
from ragapi.v1 import evaluation_service_pb2 as pb
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb

SENTENCE_BYTES = 26
"""Of a SentenceSupport: offsets below 2^21, a double, a place below 1,000, and the frames around them."""
RESULT_BYTES = 16
"""Of a FaithfulnessResult beside its sentences."""


def template_from_proto(template: retrieval_pb.QueryRequest) -> Query:
    """Take a template that was checked: unlike a query's own, an unset `top_k` stays unset."""
    return query_from_proto(template)._replace(top_k=template.top_k)


def labelled_from_proto(query: pb.LabelledQuery) -> LabelledQuery:
    """Take a labelled query that was checked."""
    return LabelledQuery(query.query_id, query.text, dict(query.relevance))


def scores_to_proto(scores: QueryScores) -> pb.EvaluateRetrievalResponse:
    """Say what one query found."""
    query = pb.QueryScores(
        query_id=scores.query_id,
        ndcg=scores.ndcg,
        recall=scores.recall,
        doc_ids=scores.doc_ids,
        latency=_duration(scores.latency),
    )
    return pb.EvaluateRetrievalResponse(query=query)


def report_to_proto(report: RetrievalReport) -> pb.EvaluateRetrievalResponse:
    """Say what the run found."""
    message = pb.RetrievalReport(
        query_count=report.query_count,
        cutoffs=[_cutoff_to_proto(each) for each in report.cutoffs],
        mean_average_precision=report.mean_average_precision,
        latency_p50=_duration(report.latency_p50),
        latency_p99=_duration(report.latency_p99),
    )
    return pb.EvaluateRetrievalResponse(report=message)


def answer_from_proto(answer: pb.AnswerWithContext) -> AnswerWithContext:
    """Take an answer that was checked."""
    return AnswerWithContext(answer.answer, tuple(answer.contexts), answer.question, answer.language)


def faithfulness_to_proto(report: FaithfulnessReport) -> pb.EvaluateFaithfulnessResponse:
    """Say how far answers are supported: at most SENTENCE_BYTES a sentence and RESULT_BYTES an answer."""
    return pb.EvaluateFaithfulnessResponse(
        results=[_faithfulness_to_proto(each) for each in report.results], judge=report.judge
    )


def _faithfulness_to_proto(result: Faithfulness) -> pb.FaithfulnessResult:
    message = pb.FaithfulnessResult(faithfulness=result.value)
    for span, support in result.sentences:
        sentence = message.sentences.add(support=support.value, context_index=support.context)
        sentence.span.start, sentence.span.end = span.start, span.end
    return message


def _cutoff_to_proto(scores: CutoffScores) -> pb.CutoffScores:
    return pb.CutoffScores(
        k=scores.k,
        recall=scores.recall,
        precision=scores.precision,
        ndcg=scores.ndcg,
        reciprocal_rank=scores.reciprocal_rank,
        hit_rate=scores.hit_rate,
    )


def _duration(seconds: float) -> Duration:
    nanoseconds = max(0, round(seconds * 1e9))
    return Duration(seconds=nanoseconds // 10**9, nanos=nanoseconds % 10**9)

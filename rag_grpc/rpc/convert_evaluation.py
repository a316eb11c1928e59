"""proto <-> models for EvaluationService."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from rag_grpc.core.measures import CutoffScores
from rag_grpc.core.queries import Query
from rag_grpc.core.retrieval_evaluation import LabelledQuery, QueryScores, RetrievalReport
from rag_grpc.rpc.convert_retrieval import query_from_proto
from ragapi.v1 import evaluation_service_pb2 as pb
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb


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

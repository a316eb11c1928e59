"""EvaluationService's requests and responses, built and read the same way for both clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from rag_client import evaluation
from rag_client.messages import query_message
from rag_client.requests import Call, StreamCall
from ragapi.v1 import evaluation_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rag_client.queries import QueryFields, QueryOptions

MESSAGE_QUERIES = 100
MESSAGE_BYTES = 1 << 20
"""What a message holds, about: the server reads the next one when it has begun the last query of one."""


def evaluate_retrieval(
    cutoffs: Iterable[int], options: QueryOptions
) -> StreamCall[evaluation.EvaluationEvent]:
    """Build EvaluateRetrieval, but for its queries: see QueryPacker."""
    first = pb.EvaluateRetrievalRequest(template=query_message(cast("QueryFields", options)), cutoffs=cutoffs)
    return StreamCall("EvaluateRetrieval", first, QueryPacker, _event)


class QueryPacker:
    """Takes labelled queries one by one and gives messages as they fill up."""

    def __init__(self) -> None:
        self._message = pb.EvaluateRetrievalRequest()
        self._size = 0

    def add(self, query: evaluation.LabelledQuery) -> pb.EvaluateRetrievalRequest | None:
        """Take a query; return the message that is full with it."""
        message = pb.LabelledQuery(query_id=query.query_id, text=query.text, relevance=query.relevance)
        self._message.queries.append(message)
        self._size += message.ByteSize()
        full = len(self._message.queries) >= MESSAGE_QUERIES or self._size >= MESSAGE_BYTES
        return self.flush() if full else None

    def flush(self) -> pb.EvaluateRetrievalRequest | None:
        """Return what is left, if anything."""
        message, self._message, self._size = self._message, pb.EvaluateRetrievalRequest(), 0
        return message if message.queries else None


def measure_index_recall(
    *, collection: str, sample_size: int, top_k: int, ef: int
) -> Call[evaluation.IndexRecall]:
    """Build MeasureIndexRecall."""
    request = pb.MeasureIndexRecallRequest(collection=collection, sample_size=sample_size, top_k=top_k, ef=ef)
    return Call(
        "MeasureIndexRecall",
        request,
        lambda response: evaluation.IndexRecall(response.recall, response.recall_p5, response.sample_size),
    )


def evaluate_faithfulness(
    answers: Iterable[evaluation.AnswerWithContext], *, judge: str
) -> Call[evaluation.FaithfulnessReport]:
    """Build EvaluateFaithfulness."""
    messages = [
        pb.AnswerWithContext(
            answer=each.answer, contexts=each.contexts, question=each.question, language=each.language
        )
        for each in answers
    ]
    return Call(
        "EvaluateFaithfulness", pb.EvaluateFaithfulnessRequest(answers=messages, judge=judge), _faithfulness
    )


def _event(response: pb.EvaluateRetrievalResponse) -> evaluation.EvaluationEvent | None:
    """Read one event; None for one that only a newer server knows."""
    match response.WhichOneof("event"):
        case "progress":
            return evaluation.EvaluationProgress(response.progress.done, response.progress.received)
        case "query":
            query = response.query
            latency = query.latency.ToTimedelta().total_seconds()
            return evaluation.QueryScores(
                query.query_id, query.ndcg, query.recall, tuple(query.doc_ids), latency
            )
        case "report":
            return _report(response.report)
    return None


def _report(report: pb.RetrievalReport) -> evaluation.RetrievalReport:
    return evaluation.RetrievalReport(
        query_count=report.query_count,
        cutoffs=tuple(
            evaluation.CutoffScores(
                each.k, each.recall, each.precision, each.ndcg, each.reciprocal_rank, each.hit_rate
            )
            for each in report.cutoffs
        ),
        mean_average_precision=report.mean_average_precision,
        latency_p50=report.latency_p50.ToTimedelta().total_seconds(),
        latency_p99=report.latency_p99.ToTimedelta().total_seconds(),
    )


def _faithfulness(response: pb.EvaluateFaithfulnessResponse) -> evaluation.FaithfulnessReport:
    return evaluation.FaithfulnessReport(
        results=tuple(
            evaluation.Faithfulness(result.faithfulness, tuple(_sentence(each) for each in result.sentences))
            for result in response.results
        ),
        judge=response.judge,
    )


def _sentence(each: Any) -> evaluation.SentenceSupport:
    return evaluation.SentenceSupport(each.span.start, each.span.end, each.support, each.context_index)

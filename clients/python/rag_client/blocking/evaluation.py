"""EvaluationService for the sync client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from rag_client import evaluation_requests
from rag_client.blocking.sender import BlockingSender

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from rag_client.evaluation import (
        AnswerWithContext,
        EvaluationEvent,
        FaithfulnessReport,
        IndexRecall,
        LabelledQuery,
    )
    from rag_client.queries import QueryOptions


class EvaluationCalls(BlockingSender):
    """Measures hits, answers and the index."""

    def evaluate_retrieval(
        self,
        queries: Iterable[LabelledQuery],
        *,
        cutoffs: Iterable[int] = (),
        timeout: float | None = None,
        **options: Unpack[QueryOptions],
    ) -> Generator[EvaluationEvent]:
        """Run labelled queries, asked with `options`; yields each query's scores, progress, last the report.

        `queries` is read in a thread of its own. Left early, the run stops.
        """
        call = evaluation_requests.evaluate_retrieval(cutoffs, options)
        yield from self._exchange(call, queries, timeout)

    def measure_index_recall(
        self,
        *,
        collection: str = "",
        sample_size: int = 0,
        top_k: int = 0,
        ef: int = 0,
        timeout: float | None = None,
    ) -> IndexRecall:
        """Compare the index with exact search, on a sample of the stored vectors."""
        call = evaluation_requests.measure_index_recall(
            collection=collection, sample_size=sample_size, top_k=top_k, ef=ef
        )
        return self._send(call, timeout)

    def evaluate_faithfulness(
        self, answers: Iterable[AnswerWithContext], *, judge: str = "", timeout: float | None = None
    ) -> FaithfulnessReport:
        """Say for each answer how far its contexts support it; an empty `judge` is the server's default."""
        return self._send(evaluation_requests.evaluate_faithfulness(answers, judge=judge), timeout)

"""EvaluationService for the asyncio client."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Unpack

from rag_client import evaluation_requests
from rag_client.asynchronous.sender import AsyncSender

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Iterable

    from rag_client.evaluation import (
        AnswerWithContext,
        EvaluationEvent,
        FaithfulnessReport,
        IndexRecall,
        LabelledQuery,
    )
    from rag_client.queries import QueryOptions


class AsyncEvaluationCalls(AsyncSender):
    """Measures hits, answers and the index."""

    async def evaluate_retrieval(
        self,
        queries: Iterable[LabelledQuery] | AsyncIterable[LabelledQuery],
        *,
        cutoffs: Iterable[int] = (),
        timeout: float | None = None,
        **options: Unpack[QueryOptions],
    ) -> AsyncGenerator[EvaluationEvent]:
        """Run labelled queries, asked with `options`; yields each query's scores, progress, last the report.

        `queries` is read in a task of its own. To stop the run, leave it through `contextlib.aclosing`.
        """
        call = evaluation_requests.evaluate_retrieval(cutoffs, options)
        async with aclosing(self._exchange(call, queries, timeout)) as events:
            async for event in events:
                yield event

    async def measure_index_recall(
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
        return await self._send(call, timeout)

    async def evaluate_faithfulness(
        self, answers: Iterable[AnswerWithContext], *, judge: str = "", timeout: float | None = None
    ) -> FaithfulnessReport:
        """Say for each answer how far its contexts support it; an empty `judge` is the server's default."""
        return await self._send(evaluation_requests.evaluate_faithfulness(answers, judge=judge), timeout)

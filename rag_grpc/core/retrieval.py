"""Answering queries: plan, embed, search, and what follows. The use case behind Query and BatchQuery."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence

from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import RagError
from rag_grpc.core.limits import Limits
from rag_grpc.core.ports import Embedder, Store, Telemetry
from rag_grpc.core.queries import Query, QueryResult
from rag_grpc.core.query_plan import Planner, QueryPlan
from rag_grpc.core.searches import SearchResult


class Retrieval:
    """Answers queries."""

    def __init__(
        self,
        *,
        store: Store,
        embedders: Mapping[str, Embedder],
        limits: Limits,
        embedding: EmbeddingQueue,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._planner = Planner(store, embedders, limits)
        self._embedding = embedding
        self._telemetry = telemetry

    async def query(self, query: Query) -> QueryResult:
        """Answer one query.

        Raises CollectionNotFound, InvalidField, InvalidFilter, DimensionMismatch, NotConfigured,
        EmbedderMismatch, ModelUnavailable, NotReady.
        """
        (result,) = await self.query_batch([query])
        if isinstance(result, RagError):
            raise result
        return result

    async def query_batch(self, queries: Sequence[Query | RagError]) -> list[QueryResult | RagError]:
        """Answer several, each by itself: what `query` would raise stands in its place.

        Texts are embedded together, and the store is asked once for all. Errors pass through.
        """
        plans = [self._planned(each) for each in queries]
        wanting = [each for each in plans if isinstance(each, QueryPlan) and each.wants_embedding]
        if wanting:
            # One by one in the queue, so that a bad text fails alone; it embeds them together all the same.
            await asyncio.gather(*map(self._embed, wanting))
        searches = [each.search() for each in plans if isinstance(each, QueryPlan) and each.failure is None]
        found = iter(await self._store.search(searches) if searches else ())
        return [self._result(each, found) for each in plans]

    def _planned(self, query: Query | RagError) -> QueryPlan | RagError:
        if isinstance(query, RagError):
            return query
        try:
            return self._planner.plan(query)
        except RagError as error:
            return error

    async def _embed(self, plan: QueryPlan) -> None:
        begin = time.perf_counter()
        try:
            rows = await self._embedding.embed(plan.collection.embedder, [plan.query.text], query=True)
            plan.vector = rows[0]
        except RagError as error:
            plan.failure = error
        plan.embed_seconds = time.perf_counter() - begin

    def _result(
        self, plan: QueryPlan | RagError, found: Iterator[SearchResult | RagError]
    ) -> QueryResult | RagError:
        if isinstance(plan, RagError):
            return plan
        if plan.failure is not None:
            return plan.failure
        result = next(found)
        if isinstance(result, RagError):
            return result
        for name, seconds in result.stages.items():
            self._telemetry.stage(name, seconds)
        stages = dict(result.stages)
        if plan.embed_seconds is not None:
            stages["embed"] = plan.embed_seconds
        return QueryResult(result.hits, result.strategy, stages, plan.mode, result.matching_chunks)

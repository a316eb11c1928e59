"""Answering queries: plan, embed, search, re-rank, mark. The use case behind Query and BatchQuery."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from time import perf_counter

from rag_grpc.core.analysis import Analyzer, PlainAnalyzer
from rag_grpc.core.chunking import embedding_text
from rag_grpc.core.document_vectors import mean_vector
from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import EmbedderChanged, RagError, StorageFault
from rag_grpc.core.highlights import highlight, wanted_terms
from rag_grpc.core.limits import Limits
from rag_grpc.core.model_ports import Embedder
from rag_grpc.core.models import TextSpan
from rag_grpc.core.planner import Planner
from rag_grpc.core.ports import Store, Telemetry
from rag_grpc.core.precedence import Precedence
from rag_grpc.core.queries import AlikeQueries, Query, QueryResult
from rag_grpc.core.query_plan import QueryPlan
from rag_grpc.core.reranking import Reranking, reranked
from rag_grpc.core.searches import AlikeSearches, Hit, HitParts, Search
from rag_grpc.core.vectors import doubtful_rows

PLANNING_SECONDS = 0.005
"""How long a batch's planning holds the event loop at a time. One long filter may take longer to read."""
MARKED_AT_ONCE = 32
"""Hits whose texts are marked before it is seen whether anybody still waits for the answer."""


class Retrieval:
    """Answers queries.

    `analyzer` takes texts apart as the store does; without one, words are compared as they stand. `ef` is how
    many candidates the store's graphs look at where a query does not say. Where `precedence` is given, the
    queries count as users', which go before what takes turns there.
    """

    def __init__(
        self,
        *,
        store: Store,
        embedders: Mapping[str, Embedder],
        limits: Limits,
        embedding: EmbeddingQueue,
        telemetry: Telemetry,
        reranking: Reranking | None = None,
        analyzer: Analyzer | None = None,
        ef: int = 100,
        precedence: Precedence | None = None,
    ) -> None:
        self._store = store
        self._precedence = precedence or Precedence()
        self._limits = limits
        self._embedding = embedding
        self._telemetry = telemetry
        self._recorded: Mapping[str, float] | None = None
        self._reranking = reranking or Reranking({}, telemetry)
        self._analyzer = analyzer or PlainAnalyzer()
        self._planner = Planner(
            store, embedders, limits, reranking=self._reranking, analyzer=self._analyzer, ef=ef
        )

    async def query(self, query: Query) -> QueryResult:
        """Answer one query.

        Raises CollectionNotFound, DocumentNotFound, InvalidField, InvalidFilter, DimensionMismatch,
        NotConfigured, EmbedderMismatch, ModelUnavailable, NotReady.
        """
        self._precedence.enter(1)
        try:
            plan = self._planner.plan(query)
            # Most by vector are plain, and are not taken through steps that they do not need.
            if plan.plain and (answered := await self._plainly_answered(plan, [plan.search()])):
                (result,) = answered
            else:
                (result,) = await self._all_answered([query], None if plan.plain else plan)
        finally:
            self._precedence.leave(1)
        if isinstance(result, RagError):
            raise result
        return result

    async def query_batch(self, queries: Sequence[Query | RagError]) -> list[QueryResult | RagError]:
        """Answer several, each by itself: what `query` would raise stands in its place.

        Texts are embedded together, and the store is asked once for all. Errors pass through.
        """
        self._precedence.enter(len(queries))
        try:
            answered = await self._alike_answered(queries) if isinstance(queries, AlikeQueries) else None
            return await self._all_answered(queries) if answered is None else answered
        finally:
            self._precedence.leave(len(queries))

    def check(self, query: Query) -> None:
        """Raise what `query` would, as far as it is known before anything is embedded or searched."""
        self._planner.plan(query)

    async def _alike_answered(self, queries: AlikeQueries) -> list[QueryResult | RagError] | None:
        """Answer queries that want nearness and no more, as one; None where each is to be looked at."""
        plan = self._planned(queries.first, None)
        if not isinstance(plan, QueryPlan) or not plan.plain:
            return None
        if doubtful_rows(queries.vectors, plan.collection.metric):
            return None
        return await self._plainly_answered(plan, AlikeSearches(plan.search(), queries.vectors))

    async def _plainly_answered(
        self, plan: QueryPlan, searches: Sequence[Search]
    ) -> list[QueryResult | RagError] | None:
        """Search, for queries of one plain plan; None, to ask anew, where the embedder became another."""
        answered: list[QueryResult | RagError] = []
        for each in await self._store.search(searches):
            if isinstance(each, EmbedderChanged):
                return None
            if isinstance(each, RagError):
                answered.append(each)
                continue
            hits, strategy, stages, matching, _ = each
            self._record_of_store(stages)
            answered.append(QueryResult(hits, strategy, stages, plan.mode, matching))
        return answered

    async def _all_answered(
        self, queries: Sequence[Query | RagError], plan: QueryPlan | None = None
    ) -> list[QueryResult | RagError]:
        planned = await self._answered(queries, plan)
        again = {
            place: query
            for place, each in enumerate(planned)
            if isinstance(each, QueryPlan) and (query := each.once_more)
        }
        if again:
            for place, each in zip(again, await self._answered([*again.values()]), strict=True):
                planned[place] = each
        return [self._result(each) for each in planned]

    async def _answered(
        self, queries: Sequence[Query | RagError], plan: QueryPlan | None = None
    ) -> list[QueryPlan | RagError]:
        """Plan queries, unless that of the only one is given, and take each as far as it goes."""
        if len(queries) == 1:
            planned = [plan or self._planned(queries[0], None)]
        else:
            planned = await self._all_planned(queries)
        plans = [each for each in planned if isinstance(each, QueryPlan)]
        # Those that are searched and no more, most of those by vector, are not looked at for each step.
        more = [each for each in plans if each.wants_more]
        if more:
            # One by one in the queue, so that a bad text fails alone; it embeds them together all the same.
            await self._each(self._embed, [each for each in more if each.wants_embedding])
            await self._each(self._read_document, [each for each in more if each.wants_document])
        await self._search(plans)
        if more:
            await self._each(self._rerank, [each for each in more if each.reranker and each.result])
            await self._each(self._mark, [each for each in more if each.query.highlight and each.result])
        return planned

    async def _all_planned(self, queries: Sequence[Query | RagError]) -> list[QueryPlan | RagError]:
        """Plan queries, and let other calls have their turns meanwhile."""
        planned: list[QueryPlan | RagError] = []
        begin = perf_counter()
        last: QueryPlan | None = None
        for each in queries:
            if perf_counter() - begin > PLANNING_SECONDS:
                await asyncio.sleep(0)
                # Meanwhile the collection may have become another.
                begin, last = perf_counter(), None
            plan = self._planned(each, last)
            planned.append(plan)
            if isinstance(plan, QueryPlan):
                last = plan
        return planned

    def _planned(self, query: Query | RagError, like: QueryPlan | None) -> QueryPlan | RagError:
        if isinstance(query, RagError):
            return query
        try:
            return self._planner.plan(query, like)
        except RagError as error:
            return error

    async def _each(
        self, step: Callable[[QueryPlan], Coroutine[None, None, None]], plans: Sequence[QueryPlan]
    ) -> None:
        """Take the plans a step further, side by side, each failing by itself."""

        async def tried(plan: QueryPlan) -> None:
            try:
                await step(plan)
            except RagError as error:
                plan.failure = error

        if plans:
            await asyncio.gather(*map(tried, plans))

    async def _embed(self, plan: QueryPlan) -> None:
        begin = perf_counter()
        rows = await self._embedding.embed(plan.collection.embedder, [plan.query.text], query=True)
        plan.vector = rows[0]
        plan.stages["embed"] = perf_counter() - begin

    async def _read_document(self, plan: QueryPlan) -> None:
        plan.vector = await mean_vector(
            self._store, plan.collection, plan.query.doc_id, max_bytes=self._limits.max_response_bytes
        )

    async def _search(self, plans: Iterable[QueryPlan]) -> None:
        """Search, all at once; again and deeper for the few that need it."""
        asked = [(plan, plan.search()) for plan in plans if plan.failure is None]
        while asked:
            results = await self._store.search([search for _, search in asked])
            again: list[tuple[QueryPlan, Search]] = []
            for (plan, _), result in zip(asked, results, strict=True):
                if isinstance(result, RagError):
                    plan.failure = result
                    continue
                deeper = plan.take(result)
                if deeper is not None:
                    again.append((plan, deeper))
            asked = again

    async def _rerank(self, plan: QueryPlan) -> None:
        """Let a model read what was found, and cut the page from what it says."""
        query, bare = plan.query, plan.collection.chunking.without_context
        begin = perf_counter()
        texts = [embedding_text(hit.title, hit.chunk.headings, hit.chunk.text, bare) for hit in plan.hits]
        scores = await self._reranking.score(plan.reranker, query.text, texts)
        plan.hits = reranked(
            plan.hits,
            scores,
            top_k=query.top_k,
            offset=query.offset,
            cap=query.max_hits_per_document,
            min_score=query.min_score,
        )
        plan.stages["rerank"] = perf_counter() - begin

    async def _mark(self, plan: QueryPlan) -> None:
        """Find the words of the query in what was found, in a thread: it may be much text."""
        analyzer, language = self._analyzer, plan.collection.language
        wanted = await asyncio.to_thread(wanted_terms, analyzer, plan.query.text, language)
        marked: list[Sequence[TextSpan]] = []
        for begin in range(0, len(plan.hits), MARKED_AT_ONCE):
            hits = plan.hits[begin : begin + MARKED_AT_ONCE]
            marked += await asyncio.to_thread(_marked, analyzer, hits, wanted, language)
        plan.highlights = marked

    def _result(self, plan: QueryPlan | RagError) -> QueryResult | RagError:
        if isinstance(plan, RagError):
            return plan
        result = plan.result
        if plan.failure is not None or result is None:
            return plan.failure or StorageFault("the search has no result")
        self._record(plan, result.stages)
        hits = plan.hits
        if plan.reads_more:
            hits = [_without(hit, plan.query.parts) for hit in hits]
        return QueryResult(
            hits, result.strategy, plan.stages, plan.mode, result.matching_chunks, plan.highlights
        )

    def _record(self, plan: QueryPlan, of_store: Mapping[str, float]) -> None:
        """Record how long the stages took; the embedding queue has recorded its batches itself."""
        self._record_of_store(of_store)
        if len(plan.stages) > len(of_store):
            for name, seconds in plan.stages.items():
                if name != "embed" and name not in of_store:
                    self._telemetry.stage(name, seconds)

    def _record_of_store(self, stages: Mapping[str, float]) -> None:
        if stages is not self._recorded:
            # What the store answers together took all of it the same time, and is recorded once.
            self._recorded = stages
            for name, seconds in stages.items():
                self._telemetry.stage(name, seconds)


def _marked(
    analyzer: Analyzer, hits: Sequence[Hit], wanted: frozenset[str], language: str
) -> list[list[TextSpan]]:
    return [highlight(analyzer, hit.chunk.text, wanted, language) for hit in hits]


def _without(hit: Hit, parts: HitParts) -> Hit:
    """Leave out what was read on the way and not asked for."""
    chunk = hit.chunk if parts.text else hit.chunk._replace(text="")
    return hit._replace(chunk=chunk, title=hit.title if parts.title else "")

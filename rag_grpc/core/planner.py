"""Deciding how a query is answered: where, by which evidence, how deep.

The plan is made on the event loop, and most queries want little of it: what a query does
not ask for costs a comparison.
"""

from __future__ import annotations

from collections.abc import Mapping

from rag_grpc.core import filter_language
from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.embedder_choice import embedder_of
from rag_grpc.core.errors import DimensionMismatch, FieldViolation, InvalidField
from rag_grpc.core.filters import And, Comparison, Name, Not, Operator
from rag_grpc.core.limits import Limits
from rag_grpc.core.model_ports import Embedder
from rag_grpc.core.models import DEFAULT_COLLECTION, NO_EMBEDDER, Collection, Vector
from rag_grpc.core.ports import Store
from rag_grpc.core.queries import (
    CrossEncoding,
    Query,
    differ_in_vector_alone,
)
from rag_grpc.core.query_plan import QueryPlan
from rag_grpc.core.reranking import Reranking
from rag_grpc.core.searches import (
    SearchMode,
)
from rag_grpc.core.vectors import check_vector

FUSED_DEPTH = 100
"""How many candidates of each side are fused at first."""
FILTERED_DEPTH = 20
"""Behind a filter a graph is asked for many times as many, so the first rung is short: two pages of ten."""
GLANCE = 200
"""Characters of a query that are looked at for words, on the event loop, where most have one."""
CANDIDATES_A_HIT = 4
"""How many candidates a re-ranking looks at for each hit that is wanted."""
CAPPED_DEPTHS = 4
"""How many times as deep a search goes to fill an answer that is capped per document."""


class Planner:
    """Looks at queries and decides how each is answered.

    `analyzer` is the store's. `ef` is how many candidates a search through a graph looks at where a query
    does not say.
    """

    def __init__(
        self,
        store: Store,
        embedders: Mapping[str, Embedder],
        limits: Limits,
        *,
        reranking: Reranking,
        analyzer: Analyzer,
        ef: int,
    ) -> None:
        self._store = store
        self._embedders = embedders
        self._limits = limits
        self._reranking = reranking
        self._analyzer = analyzer
        self._ef = ef

    def plan(self, query: Query, like: QueryPlan | None = None) -> QueryPlan:
        """Decide. `like` is the plan of the query before: most of a batch differ in their vector alone.

        Raises what `Retrieval.query` lists, as far as it can be known before searching.
        """
        if like is not None and query.vector is not None and differ_in_vector_alone(query, like.query):
            _check_asked(query.vector, like.collection)
            return like.of(query)
        collection = self._store.collection(query.collection or DEFAULT_COLLECTION)
        passing = filter_language.parse(query.filter)
        if query.offset + query.top_k > self._limits.max_top_k:
            raise _invalid("offset", f"with top_k it may be at most {self._limits.max_top_k}")
        mode = query.mode or self._mode_of(query, collection)
        plan = QueryPlan(query, collection, passing, mode)
        if mode is not SearchMode.LEXICAL:
            self._plan_dense(plan)
        if mode is not SearchMode.DENSE and not query.text:
            raise _invalid("query", f"is required in mode {mode.name}")
        if mode is SearchMode.HYBRID:
            plan.dense_weight = self._dense_weight(query, collection)
        if query.rerank is not None:
            self._plan_rerank(plan)
        self._plan_depth(plan)
        return plan

    def _mode_of(self, query: Query, collection: Collection) -> SearchMode:
        """Choose by what evidence there is: both sides, where both have some."""
        text = query.text
        if not text or query.doc_id:
            return SearchMode.DENSE
        if query.vector is None and collection.embedder == NO_EMBEDDER:
            return SearchMode.LEXICAL
        # Stop words alone are no evidence. A long text shows at its beginning that it has others.
        glance = text
        if len(text) > GLANCE:
            space = text.rfind(" ", 0, GLANCE)
            glance = text[: space if space > 0 else GLANCE]
        terms, language = self._analyzer.terms, collection.language
        if terms(glance, language) or (glance is not text and terms(text, language)):
            return SearchMode.HYBRID
        return SearchMode.DENSE

    def _plan_dense(self, plan: QueryPlan) -> None:
        query, collection = plan.query, plan.collection
        if query.vector is not None:
            _check_asked(query.vector, collection)
        elif query.doc_id:
            itself = Not(Comparison(Name(("doc_id",), own=True), Operator.EQUAL, query.doc_id))
            plan.filter = itself if plan.filter is None else And((itself, plan.filter))
        elif not query.text:
            raise _invalid("query", "set query, vector or doc_id: there is nothing to look for")
        elif collection.embedder == NO_EMBEDDER:
            raise _invalid("vector", f"is required: collection {collection.name!r} has no embedder")
        else:
            embedder_of(collection, self._embedders)

    def _dense_weight(self, query: Query, collection: Collection) -> float:
        if query.dense_weight is not None:
            return query.dense_weight
        embedder = self._embedders.get(collection.embedder)
        return 0.5 if embedder is None else embedder.dense_weight

    def _plan_rerank(self, plan: QueryPlan) -> None:
        query, rerank = plan.query, plan.query.rerank
        if rerank is None:
            return
        if isinstance(rerank, CrossEncoding):
            if not query.text:
                raise _invalid("query", "is required: a cross-encoder reads it")
            plan.reranker = self._reranking.named(rerank.model)
        candidates = rerank.candidates or CANDIDATES_A_HIT * query.top_k
        plan.pool = min(candidates, self._limits.max_candidates)

    def _plan_depth(self, plan: QueryPlan) -> None:
        """Choose the first rung of the ladder, and where it ends: see `rag_grpc.core.selection`."""
        query, cap = plan.query, plan.query.max_hits_per_document
        if plan.mode is SearchMode.HYBRID:
            first = FUSED_DEPTH
        elif plan.mode is SearchMode.LEXICAL or query.exact:
            # The list of a shallow search is the beginning of a deeper one's.
            first = max(plan.pool or query.offset + query.top_k, FUSED_DEPTH if cap else 0)
        elif plan.filter is not None:
            first = FILTERED_DEPTH
        else:
            first = query.ef or self._ef
        plan.first_depth = first
        plan.max_depth = max(first, self._limits.max_top_k * (CAPPED_DEPTHS if cap else 1))


def _invalid(field: str, description: str) -> InvalidField:
    return InvalidField.of([FieldViolation(field, description)])


def _check_asked(vector: Vector, collection: Collection) -> None:
    problem = check_vector(vector, dimension=collection.dimension, metric=collection.metric, field="vector")
    if isinstance(problem, DimensionMismatch):
        raise problem
    if problem is not None:
        raise InvalidField.of([problem])

"""How one query is answered: the searches it takes, and what came of them so far.

`rag_grpc.core.planner` decides; a plan makes a search of that, and a deeper one where it found too little.
"""

from __future__ import annotations

from collections.abc import Sequence

from rag_grpc.core.errors import EmbedderChanged, RagError, WordsNotReady
from rag_grpc.core.filters import Filter
from rag_grpc.core.models import Collection, TextSpan, Vector
from rag_grpc.core.queries import (
    DEFAULT_RANK_CONSTANT,
    Query,
    Variety,
)
from rag_grpc.core.searches import (
    DenseQuery,
    Hit,
    HitParts,
    LexicalQuery,
    Search,
    SearchMode,
    SearchResult,
    Select,
)
from rag_grpc.core.selection import Choice, DenseSelection, Selection


class QueryPlan:
    """How one query is answered; what is still missing of it is filled in on the way."""

    __slots__ = (
        "collection",
        "dense_weight",
        "failure",
        "filter",
        "first_depth",
        "highlights",
        "hits",
        "max_depth",
        "mode",
        "pool",
        "query",
        "reranker",
        "result",
        "selection",
        "stages",
        "vector",
    )

    def __init__(
        self, query: Query, collection: Collection, filter_: Filter | None, mode: SearchMode
    ) -> None:
        self.query = query
        self.collection = collection
        self.filter = filter_
        self.mode = mode
        self.vector: Vector | None = query.vector
        self.dense_weight = 0.5
        self.first_depth = 0
        self.max_depth = 0
        self.pool = 0
        self.reranker = ""
        self.selection: Selection | None = None
        self.stages: dict[str, float] = {}
        self.hits: Sequence[Hit] = ()
        self.highlights: Sequence[Sequence[TextSpan]] | None = None
        self.result: SearchResult | None = None
        self.failure: RagError | None = None

    def of(self, query: Query) -> QueryPlan:
        """Make the plan of a query that differs in its vector alone."""
        plan = QueryPlan(query, self.collection, self.filter, self.mode)
        plan.first_depth, plan.max_depth = self.first_depth, self.max_depth
        plan.dense_weight, plan.pool, plan.reranker = self.dense_weight, self.pool, self.reranker
        return plan

    @property
    def wants_more(self) -> bool:
        """Whether there is anything to do but to search."""
        return self.vector is None or bool(self.reranker) or self.query.highlight

    @property
    def plain(self) -> bool:
        """Whether one search for what is near, cut to the page, is all that it takes."""
        return not self.wants_more and self._one_rung

    @property
    def _one_rung(self) -> bool:
        """Whether the page is cut from one search for what is near."""
        query = self.query
        return (
            self.mode is SearchMode.DENSE
            and not (query.max_hits_per_document or self.pool)
            and query.offset + query.top_k <= self.first_depth
        )

    @property
    def wants_embedding(self) -> bool:
        """Whether the text is still to be embedded."""
        return self.vector is None and self.mode is not SearchMode.LEXICAL and not self.query.doc_id

    @property
    def wants_document(self) -> bool:
        """Whether the vector is still to be made of a document's chunks."""
        return self.vector is None and bool(self.query.doc_id)

    def search(self) -> Search:
        """Make the first search, once the vector is there."""
        query = self.query
        end = query.offset + query.top_k
        if self._one_rung:
            select = DenseSelection(query.top_k, query.offset, query.min_score)
            return self._search(self.first_depth if self.filter is not None else end, select)
        self.selection = Selection(self._choice(), self.first_depth)
        return self._search(self.first_depth, self.selection)

    def take(self, result: SearchResult) -> Search | None:
        """Take what a search found; return the next one where it did not reach deep enough."""
        selection, stages = self.selection, self.stages
        if selection is None and not stages:
            # As it is for most queries by vector. The store's own mapping belongs to all searches of a batch.
            self.stages = dict(result.stages)
        else:
            own = selection.seconds if selection else {}
            for name, seconds in (*result.stages.items(), *own.items()):
                stages[name] = stages.get(name, 0.0) + seconds
            # The store selects on its way to the rows, and counts both as one.
            stages["fetch"] = max(0.0, stages.get("fetch", 0.0) - sum(own.values()))
        if selection is not None and selection.deeper:
            self.selection = selection = selection.next()
            return self._search(selection.depth, selection)
        self.result, self.hits = result, result.hits
        return None

    @property
    def once_more(self) -> Query | None:
        """What to ask once more, where that helps."""
        failure, query = self.failure, self.query
        if isinstance(failure, EmbedderChanged):
            # Somewhere between looking at the collection and searching in it.
            return query
        if isinstance(failure, WordsNotReady) and query.mode is None and self.mode is SearchMode.HYBRID:
            # The choice is ours, and there is no evidence from words just now: a full disk stops no reads.
            return query._replace(mode=SearchMode.DENSE)
        return None

    @property
    def reads_more(self) -> bool:
        """Whether texts and titles are read on the way though the caller omits some of them."""
        parts = self.query.parts
        return bool(self.reranker or self.query.highlight) and not (parts.text and parts.title)

    def _search(self, candidates: int, select: Select) -> Search:
        query, parts = self.query, self.query.parts
        if self.reads_more:
            parts = HitParts(metadata=parts.metadata, vectors=parts.vectors)
        dense = lexical = None
        if self.vector is not None:
            dense = DenseQuery(self.vector, query.ef, query.exact)
        if self.mode is not SearchMode.DENSE:
            lexical = LexicalQuery(query.text)
        return Search(self.collection, candidates, select, dense, lexical, self.filter, parts)

    def _choice(self) -> Choice:
        query, rerank = self.query, self.query.rerank
        return Choice(
            top_k=query.top_k,
            offset=query.offset,
            max_depth=self.max_depth,
            min_score=query.min_score,
            cap=query.max_hits_per_document,
            dense_weight=self.dense_weight if self.mode is SearchMode.HYBRID else None,
            rank_constant=query.rank_constant or DEFAULT_RANK_CONSTANT,
            pool=self.pool,
            diversity=rerank.diversity if isinstance(rerank, Variety) else None,
            metric=self.collection.metric,
            whole_pool=bool(self.reranker),
        )

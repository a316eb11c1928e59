"""From a query to the search that answers it: where, by which evidence, how deep."""

from __future__ import annotations

from collections.abc import Mapping

from rag_grpc.core import filter_language
from rag_grpc.core.embedder_choice import embedder_of
from rag_grpc.core.errors import DimensionMismatch, FieldViolation, InvalidField, RagError
from rag_grpc.core.filters import Filter
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import DEFAULT_COLLECTION, NO_EMBEDDER, Collection, Vector
from rag_grpc.core.ports import Embedder, Store
from rag_grpc.core.queries import Query
from rag_grpc.core.searches import DenseQuery, Search, SearchMode
from rag_grpc.core.selection import dense_selection
from rag_grpc.core.vectors import check_vector


class QueryPlan:
    """How one query is answered; what is still missing of it is filled in on the way."""

    __slots__ = ("collection", "embed_seconds", "failure", "filter", "mode", "query", "vector")

    def __init__(
        self, query: Query, collection: Collection, filter_: Filter | None, mode: SearchMode
    ) -> None:
        self.query = query
        self.collection = collection
        self.filter = filter_
        self.mode = mode
        self.vector: Vector | None = query.vector
        self.embed_seconds: float | None = None
        self.failure: RagError | None = None

    @property
    def wants_embedding(self) -> bool:
        """Whether the text is still to be embedded."""
        return self.vector is None

    def search(self) -> Search:
        """Make the search, once the vector is there."""
        query, vector = self.query, self.vector
        return Search(
            self.collection,
            query.offset + query.top_k,
            dense_selection(top_k=query.top_k, offset=query.offset, min_score=query.min_score),
            None if vector is None else DenseQuery(vector, query.ef, query.exact),
            None,
            self.filter,
            query.parts,
        )


class Planner:
    """Looks at queries and decides how each is answered."""

    def __init__(self, store: Store, embedders: Mapping[str, Embedder], limits: Limits) -> None:
        self._store = store
        self._embedders = embedders
        self._limits = limits

    def plan(self, query: Query) -> QueryPlan:
        """Decide. Raises CollectionNotFound, InvalidField, InvalidFilter, DimensionMismatch and so on."""
        collection = self._store.collection(query.collection or DEFAULT_COLLECTION)
        passing = filter_language.parse(query.filter)
        if query.offset + query.top_k > self._limits.max_top_k:
            bound = f"with top_k it may be at most {self._limits.max_top_k}"
            raise InvalidField.of([FieldViolation("offset", bound)])
        if query.vector is not None:
            _check_asked(query.vector, collection)
        else:
            self._check_text(query.text, collection)
        return QueryPlan(query, collection, passing, SearchMode.DENSE)

    def _check_text(self, text: str, collection: Collection) -> None:
        if not text:
            raise InvalidField.of(
                [FieldViolation("query", "set query or vector: there is nothing to look for")]
            )
        if collection.embedder == NO_EMBEDDER:
            raise InvalidField.of(
                [FieldViolation("vector", f"is required: collection {collection.name!r} has no embedder")]
            )
        embedder_of(collection, self._embedders)


def _check_asked(vector: Vector, collection: Collection) -> None:
    problem = check_vector(vector, dimension=collection.dimension, metric=collection.metric, field="vector")
    if isinstance(problem, DimensionMismatch):
        raise problem
    if problem is not None:
        raise InvalidField.of([problem])

"""Finding chunks and reading documents back: the use cases behind RetrievalService."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rag_grpc.core.embedder_choice import embedder_of
from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import (
    DimensionMismatch,
    DocumentNotFound,
    FieldViolation,
    InvalidField,
    RagError,
    RevisionMismatch,
)
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import (
    DEFAULT_COLLECTION,
    NO_EMBEDDER,
    Collection,
    Document,
    Vector,
)
from rag_grpc.core.ports import ChunkPage, DocumentPage, Embedder, Store, Telemetry
from rag_grpc.core.searches import (
    DenseQuery,
    Hit,
    HitParts,
    Search,
    SearchResult,
    SearchStrategy,
)
from rag_grpc.core.selection import dense_selection
from rag_grpc.core.vectors import check_vector


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for, as `text` or, where it is set, as `vector` of shape (dimension,)."""

    collection: str = ""
    text: str = ""
    vector: Vector | None = None
    top_k: int = 10
    offset: int = 0
    ef: int = 0
    exact: bool = False
    parts: HitParts = field(default_factory=HitParts)
    min_score: float | None = None


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a query came to. `stages` maps "embed", "dense", "fetch" and so on to seconds."""

    hits: tuple[Hit, ...]
    strategy: SearchStrategy
    stages: Mapping[str, float]


@dataclass(slots=True)
class _Asked:
    """A query on its way: first without its vector, where that has to be made from the text."""

    query: Query
    collection: Collection
    vector: Vector | None
    embed_seconds: float | None = None
    failure: RagError | None = None

    def search(self, vector: Vector) -> Search:
        query = self.query
        return Search(
            self.collection,
            query.offset + query.top_k,
            dense_selection(top_k=query.top_k, offset=query.offset, min_score=query.min_score),
            DenseQuery(vector, query.ef, query.exact),
            parts=query.parts,
        )


class Retrieval:
    """Answers queries and reads."""

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
        self._embedders = embedders
        self._limits = limits
        self._embedding = embedding
        self._telemetry = telemetry

    async def query(self, query: Query) -> QueryResult:
        """Answer one query.

        Raises CollectionNotFound, InvalidField, DimensionMismatch, NotConfigured, EmbedderMismatch,
        ModelUnavailable, NotReady.
        """
        (result,) = await self.query_batch([query])
        if isinstance(result, RagError):
            raise result
        return result

    async def query_batch(self, queries: Sequence[Query | RagError]) -> list[QueryResult | RagError]:
        """Answer several, each by itself: what `query` would raise stands in its place.

        Texts are embedded together, and the store is asked once for all. Errors pass through.
        """
        asked = [each if isinstance(each, RagError) else self._check(each) for each in queries]
        await self._embed([each for each in asked if isinstance(each, _Asked) and each.vector is None])
        searches = [
            each.search(each.vector) for each in asked if isinstance(each, _Asked) and each.vector is not None
        ]
        found = iter(await self._store.search(searches) if searches else ())
        return [self._result(each, found) for each in asked]

    async def document(self, collection: str, doc_id: str) -> Document:
        """Read one document whole. Raises CollectionNotFound, DocumentNotFound."""
        where = self._collection(collection)
        (document,) = await self._store.documents(where, [doc_id], include_text=True)
        if document is None:
            raise DocumentNotFound(where.name, doc_id)
        return document

    async def documents(self, collection: str, doc_ids: Sequence[str]) -> list[Document]:
        """Read those of these documents that are there, in the order of the request."""
        found = await self._store.documents(self._collection(collection), doc_ids, include_text=True)
        return [each for each in found if each is not None]

    def count(self, collection: str) -> int:
        """How many documents there are. Raises CollectionNotFound."""
        return self._store.counts(self._collection(collection)).documents

    async def list_chunks(
        self,
        collection: str,
        doc_id: str,
        *,
        first: int,
        limit: int,
        include_vectors: bool,
        revision: int | None,
    ) -> ChunkPage:
        """Read up to `limit` chunks from ordinal `first` on.

        `revision` is that of the page before: raises RevisionMismatch where it has changed since. Raises
        CollectionNotFound, DocumentNotFound.
        """
        page = await self._store.list_chunks(
            self._collection(collection),
            doc_id,
            first=first,
            limit=limit,
            include_vectors=include_vectors,
            max_bytes=self._page_bytes,
        )
        if revision is not None and revision != page.revision:
            raise RevisionMismatch(doc_id, expected=revision, current=page.revision)
        return page

    async def list_documents(
        self, collection: str, *, after: str | None, limit: int, include_text: bool
    ) -> DocumentPage:
        """Read up to `limit` documents whose ids follow `after`. Raises CollectionNotFound."""
        return await self._store.list_documents(
            self._collection(collection),
            after=after,
            limit=limit,
            include_text=include_text,
            max_bytes=self._page_bytes,
        )

    @property
    def _page_bytes(self) -> int:
        # The store counts texts, metadata and vectors. Ids, headings and framing need the rest.
        return self._limits.max_response_bytes * 3 // 4

    def _collection(self, name: str) -> Collection:
        return self._store.collection(name or DEFAULT_COLLECTION)

    def _check(self, query: Query) -> _Asked | RagError:
        try:
            collection = self._collection(query.collection)
            if query.offset + query.top_k > self._limits.max_top_k:
                bound = f"with top_k it may be at most {self._limits.max_top_k}"
                raise InvalidField.of([FieldViolation("offset", bound)])
            if query.vector is not None:
                _check_asked(query.vector, collection)
            else:
                self._check_text(query.text, collection)
        except RagError as error:
            return error
        return _Asked(query, collection, query.vector)

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

    async def _embed(self, asked: Sequence[_Asked]) -> None:
        if not asked:
            return

        async def embed(each: _Asked) -> None:
            begin = time.perf_counter()
            try:
                rows = await self._embedding.embed(each.collection.embedder, [each.query.text], query=True)
                each.vector = rows[0]
            except RagError as error:
                each.failure = error
            each.embed_seconds = time.perf_counter() - begin

        # One by one in the queue, so that a bad text fails alone; it embeds them together all the same.
        await asyncio.gather(*map(embed, asked))

    def _result(
        self, asked: _Asked | RagError, found: Iterator[SearchResult | RagError]
    ) -> QueryResult | RagError:
        if isinstance(asked, RagError):
            return asked
        if asked.failure is not None:
            return asked.failure
        result = next(found)
        if isinstance(result, RagError):
            return result
        for name, seconds in result.stages.items():
            self._telemetry.stage(name, seconds)
        stages = dict(result.stages)
        if asked.embed_seconds is not None:
            stages["embed"] = asked.embed_seconds
        return QueryResult(result.hits, result.strategy, stages)


def _check_asked(vector: Vector, collection: Collection) -> None:
    problem = check_vector(vector, dimension=collection.dimension, metric=collection.metric, field="vector")
    if isinstance(problem, DimensionMismatch):
        raise problem
    if problem is not None:
        raise InvalidField.of([problem])

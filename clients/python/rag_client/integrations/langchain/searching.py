"""The searches of LangChain's VectorStore: each a query, in a method that blocks and one for asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.vectorstores import VectorStore

from rag_client.integrations.langchain import searches
from rag_client.integrations.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings

    from rag_client import AsyncRagClient, RagClient
    from rag_client.queries import QueryFields, QueryResult


class Searching(VectorStore):
    """A collection that can be searched; RagVectorStore says what the arguments mean."""

    def __init__(
        self,
        client: RagClient | None,
        async_client: AsyncRagClient | None,
        collection: str,
        embedding: Embeddings | None,
        options: Mapping[str, Any],
    ) -> None:
        self._shelf = Shelf(client, async_client, collection)
        self._embedding = embedding
        self._options = dict(options)

    @property
    def embeddings(self) -> Embeddings | None:
        """The caller's Embeddings; None where the server embeds."""
        return self._embedding

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Find the `k` best documents for a text; `kwargs` are a `filter` and the options of a query."""
        return _documents(self._ask(query, k, kwargs))

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """`similarity_search` for asyncio."""
        return _documents(await self._aask(query, k, kwargs))

    def similarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Find the `k` best documents with the server's scores: larger is better."""
        return _scored(self._ask(query, k, kwargs))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search_with_score` for asyncio."""
        return _scored(await self._aask(query, k, kwargs))

    def similarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, **kwargs: Any
    ) -> list[Document]:
        """Find the `k` nearest documents to an embedding."""
        return _documents(self._shelf.query(searches.by_vector(embedding, k, self._merged(kwargs))))

    async def asimilarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, **kwargs: Any
    ) -> list[Document]:
        """`similarity_search_by_vector` for asyncio."""
        fields = searches.by_vector(embedding, k, self._merged(kwargs))
        return _documents(await self._shelf.aquery(fields))

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Find `k` documents that are near and unlike each other, among the `fetch_k` best."""
        return _documents(self._ask(query, k, searches.varied(kwargs, k, fetch_k, lambda_mult)))

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """`max_marginal_relevance_search` for asyncio."""
        return _documents(await self._aask(query, k, searches.varied(kwargs, k, fetch_k, lambda_mult)))

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **kwargs: Any,
    ) -> list[Document]:
        """`max_marginal_relevance_search` for an embedding."""
        return self.similarity_search_by_vector(
            embedding, k, **searches.varied(kwargs, k, fetch_k, lambda_mult)
        )

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **kwargs: Any,
    ) -> list[Document]:
        """`max_marginal_relevance_search_by_vector` for asyncio."""
        return await self.asimilarity_search_by_vector(
            embedding, k, **searches.varied(kwargs, k, fetch_k, lambda_mult)
        )

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        self._has_scale(kwargs)
        result = self._ask(query, k, kwargs)
        return _scored(result, searches.relevance(result, self._shelf.metric()))

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        self._has_scale(kwargs)
        result = await self._aask(query, k, kwargs)
        return _scored(result, searches.relevance(result, await self._shelf.ametric()))

    def _ask(self, query: str, k: int, given: Mapping[str, Any]) -> QueryResult:
        options = self._merged(given)
        vector = self._embedding.embed_query(query) if self._embedding and _has_vector(options) else None
        return self._shelf.query(_asked(query, k, options, vector))

    async def _aask(self, query: str, k: int, given: Mapping[str, Any]) -> QueryResult:
        options = self._merged(given)
        vector = (
            await self._embedding.aembed_query(query) if self._embedding and _has_vector(options) else None
        )
        return await self._shelf.aquery(_asked(query, k, options, vector))

    def _has_scale(self, given: Mapping[str, Any]) -> None:
        if self._merged(given).get("rerank") is not None:
            raise ValueError("what a re-ranker says has no scale of 0 to 1: use similarity_search_with_score")

    def _merged(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._options, **given}


def _has_vector(options: Mapping[str, Any]) -> bool:
    return options.get("mode") != "lexical"


def _asked(query: str, k: int, options: Mapping[str, Any], vector: Sequence[float] | None) -> QueryFields:
    if vector is None:
        return searches.by_text(query, k, options)
    return searches.by_vector(vector, k, options, query=query)


def _documents(result: QueryResult) -> list[Document]:
    return [searches.as_stored(hit) for hit in result.hits]


def _scored(result: QueryResult, scores: Sequence[float] | None = None) -> list[tuple[Document, float]]:
    return list(zip(_documents(result), scores or [hit.score for hit in result.hits], strict=True))

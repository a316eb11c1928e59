"""RagRetriever: what the server finds, however it was stored, as LlamaIndex's nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle

from rag_client.integrations.llamaindex import nodes
from rag_client.integrations.llamaindex.filters import filter_text
from rag_client.integrations.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llama_index.core.vector_stores.types import MetadataFilters

    from rag_client import AsyncRagClient, RagClient
    from rag_client.queries import QueryFields, QueryResult


class RagRetriever(BaseRetriever):
    """Finds the best chunks of a collection whose texts the server embeds.

    `filters` are MetadataFilters, a text or a Condition; `options` are those of `RagClient.query`. A chunk
    that was not stored by RagVectorStore becomes a node "doc_id#ordinal" with its offsets, the document's
    metadata, title and headings, and the document as its source.
    """

    def __init__(
        self,
        client: RagClient | None = None,
        *,
        async_client: AsyncRagClient | None = None,
        collection: str = "",
        similarity_top_k: int = 4,
        filters: MetadataFilters | str | None = None,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._shelf = Shelf(client, async_client, collection)
        self._top_k = similarity_top_k
        self._filters = filters
        self._options = dict(options or {})

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _scored(self._shelf.query(self._asked(query_bundle)))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _scored(await self._shelf.aquery(self._asked(query_bundle)))

    def _asked(self, query_bundle: QueryBundle) -> QueryFields:
        fields: Any = {
            "query": query_bundle.query_str,
            "top_k": self._top_k,
            "filter": filter_text(self._filters),
            **self._options,
        }
        asked: QueryFields = fields
        return asked


def _scored(result: QueryResult) -> list[NodeWithScore]:
    return [NodeWithScore(node=nodes.of_hit(hit), score=hit.score) for hit in result.hits]

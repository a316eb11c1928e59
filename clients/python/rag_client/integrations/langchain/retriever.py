"""RagRetriever: what the server finds, however it was stored, as LangChain's Documents."""

from __future__ import annotations

from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, model_validator

from rag_client import AsyncRagClient, RagClient
from rag_client.integrations.langchain import searches
from rag_client.integrations.shelf import Shelf
from rag_client.queries import QueryFields


class RagRetriever(BaseRetriever):
    """Finds the `k` best chunks of a collection whose texts the server embeds.

    `filter` is a text, a Condition or a dict, `options` are those of `RagClient.query`; `invoke` takes all of
    them too: `retriever.invoke("question", k=3, mode="hybrid")`.

    A Document's `id` is its doc_id. Its metadata is the document's, and where that has no such keys: title,
    headings, ordinal (the chunk's place in its document), start and end (its offsets), and relevance_score.
    """

    client: RagClient | None = None
    async_client: AsyncRagClient | None = None
    collection: str = ""
    k: int = Field(default=4, ge=1)
    filter: Any = None
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_a_client(self) -> Self:
        self._shelf()
        return self

    def _get_relevant_documents(self, query: str, **kwargs: Any) -> list[Document]:
        result = self._shelf().query(self._asked(query, **kwargs))
        return [searches.as_found(hit) for hit in result.hits]

    async def _aget_relevant_documents(self, query: str, **kwargs: Any) -> list[Document]:
        result = await self._shelf().aquery(self._asked(query, **kwargs))
        return [searches.as_found(hit) for hit in result.hits]

    def _shelf(self) -> Shelf:
        return Shelf(self.client, self.async_client, self.collection)

    def _asked(self, query: str, **given: Any) -> QueryFields:
        options = {"k": self.k, "filter": self.filter, **self.options, **given}
        return searches.by_text(query, options.pop("k"), options)

"""RagVectorStore: a collection as LlamaIndex's vector store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)

from rag_client.integrations.llamaindex import nodes as conversion
from rag_client.integrations.llamaindex.filters import filter_text
from rag_client.integrations.llamaindex.searches import answered, asked
from rag_client.integrations.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag_client import AsyncRagClient, RagClient
    from rag_client.models import Document


class RagVectorStore(BasePydanticVectorStore):
    """A collection, by a RagClient, an AsyncRagClient, or both, which the caller opens and closes.

    The server embeds, texts and queries alike; an index over it needs no embedding model, and takes
    `MockEmbedding(1)` for one. With `own_embeddings` the nodes bring theirs, the collection has the embedder
    "none", and needs a name of its own. The first `add` makes the collection where it is missing.

    All modes but the learners (SVM and the like) are there: DEFAULT, SPARSE, TEXT_SEARCH, HYBRID,
    SEMANTIC_HYBRID with `alpha` as the weight of the dense side, and MMR. `query` takes the options of
    `RagClient.query` too. The errors are those of `rag_client.errors`.
    """

    stores_text: bool = True
    own_embeddings: bool = False
    collection: str = ""
    _shelf: Shelf = PrivateAttr()
    _made: bool = PrivateAttr(default=False)

    def __init__(
        self,
        client: RagClient | None = None,
        *,
        async_client: AsyncRagClient | None = None,
        collection: str = "",
        own_embeddings: bool = False,
    ) -> None:
        if own_embeddings and not collection:
            raise ValueError("vectors of one's own need a collection of their own: name it")
        super().__init__(stores_text=True, is_embedding_query=own_embeddings)
        self.collection = collection
        self.own_embeddings = own_embeddings
        self._shelf = Shelf(client, async_client, collection)

    @classmethod
    def class_name(cls) -> str:
        """Say what this is where it is serialised."""
        return "RagVectorStore"

    @property
    def client(self) -> Any:
        """The RagClient. Raises ValueError where there is an AsyncRagClient alone."""
        return self._shelf.client

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Store nodes, replacing those of the same id; returns the ids."""
        documents = self._documents(nodes, kwargs)
        if documents and not self._made:
            self._shelf.create(*self._kind(documents))
            self._made = True
        return self._shelf.store(documents)

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """`add` for asyncio."""
        documents = self._documents(nodes, kwargs)
        if documents and not self._made:
            await self._shelf.acreate(*self._kind(documents))
            self._made = True
        return await self._shelf.astore(documents)

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Remove the nodes that were made of a document."""
        _nothing_else(delete_kwargs)
        self._shelf.remove(filter_=filter_text(None, ref_doc_ids=[ref_doc_id]))

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """`delete` for asyncio."""
        _nothing_else(delete_kwargs)
        await self._shelf.aremove(filter_=filter_text(None, ref_doc_ids=[ref_doc_id]))

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Remove nodes by id, by filter, or those of the ids that the filter lets through."""
        _nothing_else(delete_kwargs)
        self._shelf.remove(*_removal(node_ids, filters))

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """`delete_nodes` for asyncio."""
        _nothing_else(delete_kwargs)
        await self._shelf.aremove(*_removal(node_ids, filters))

    def clear(self) -> None:
        """Remove everything."""
        self._shelf.remove(everything=True)

    async def aclear(self) -> None:
        """`clear` for asyncio."""
        await self._shelf.aremove(everything=True)

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Read nodes by id, by filter, or both; without either, all of them."""
        if node_ids is not None and filters is None:
            found = self._shelf.read(node_ids)
        else:
            found = self._shelf.find(filter_text(filters, node_ids=node_ids))
        return [conversion.of_document(each) for each in found]

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """`get_nodes` for asyncio."""
        if node_ids is not None and filters is None:
            found = await self._shelf.aread(node_ids)
        else:
            found = await self._shelf.afind(filter_text(filters, node_ids=node_ids))
        return [conversion.of_document(each) for each in found]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Find nodes; `kwargs` are the options of `RagClient.query`, and `mmr_threshold`."""
        return answered(self._shelf.query(asked(query, kwargs, server_embeds=not self.own_embeddings)))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """`query` for asyncio."""
        fields = asked(query, kwargs, server_embeds=not self.own_embeddings)
        return answered(await self._shelf.aquery(fields))

    def _documents(self, nodes: Sequence[BaseNode], options: dict[str, Any]) -> list[Document]:
        _nothing_else(options)
        return [conversion.as_document(node, with_embedding=self.own_embeddings) for node in nodes]

    def _kind(self, documents: Sequence[Document]) -> tuple[str, int]:
        """Return what a collection that is made for them has as embedder and dimension."""
        vector = documents[0].chunks[0].vector
        return ("", 0) if vector is None else ("none", len(vector))


def _removal(node_ids: Sequence[str] | None, filters: MetadataFilters | None) -> tuple[Sequence[str], str]:
    if filters is not None:
        return (), filter_text(filters, node_ids=node_ids)
    if node_ids is None:
        raise ValueError("say which nodes, by `node_ids` or `filters`; `clear` removes all")
    return node_ids, ""


def _nothing_else(options: dict[str, Any]) -> None:
    if options:
        raise TypeError(f"there is no option {', '.join(options)}")

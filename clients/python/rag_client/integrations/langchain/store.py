"""RagVectorStore: a collection as LangChain's VectorStore.

A LangChain Document is one piece that is found whole, so it is stored as one document of one chunk, and its
`id` is the doc_id. Who embeds is a matter of the collection: without an Embeddings object the server does,
with one the vectors are brought along, and the collection has the embedder "none".
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Self

from rag_client.integrations.langchain import searches
from rag_client.integrations.langchain.filters import filter_text
from rag_client.integrations.langchain.searching import Searching
from rag_client.models import Chunk
from rag_client.models import Document as Stored

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings

    from rag_client import AsyncRagClient, RagClient
    from rag_client.integrations.langchain.filters import Filter

    Vectors = Sequence[Sequence[float]] | None


class RagVectorStore(Searching):
    """A collection, by a RagClient, an AsyncRagClient, or both, which the caller opens and closes.

    With `embedding` the collection takes that object's vectors, and needs a name of its own. The first
    `add_documents` makes the collection where it is missing. `options` are those of every search, as in
    `RagClient.query`: `{"mode": "hybrid"}`. Each search takes options too, which win, and a `filter`: a text,
    a Condition, or a dict. With `split` the server splits what is added, and what is found are its chunks.

    Scores are the server's: larger is better. The errors are those of `rag_client.errors`.
    """

    def __init__(
        self,
        client: RagClient | None = None,
        *,
        async_client: AsyncRagClient | None = None,
        collection: str = "",
        embedding: Embeddings | None = None,
        options: Mapping[str, Any] | None = None,
        split: bool = False,
    ) -> None:
        if embedding is not None and not collection:
            raise ValueError("vectors of one's own need a collection of their own: name it")
        if embedding is not None and split:
            raise ValueError("the server splits what it embeds itself: leave out `embedding` or `split`")
        super().__init__(client, async_client, collection, embedding, options or {})
        self._split = split
        self._made = False

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Store texts and return the store; `kwargs` are the constructor's, a client among them."""
        store = cls(embedding=embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """`from_texts` for asyncio."""
        store = cls(embedding=embedding, **kwargs)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store

    def add_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Store documents, replacing those of the same id; ids that are missing are made up.

        `batch_size`, which LangChain's `index` gives, changes nothing: the client fills its messages itself.
        """
        del batch_size
        _nothing_else(kwargs)
        if not documents:
            return []
        vectors = self._embedding.embed_documents(_texts(documents)) if self._embedding else None
        if not self._made:
            self._shelf.create(*_kind(vectors))
            self._made = True
        return self._shelf.store(self._packed(documents, ids, vectors))

    async def aadd_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """`add_documents` for asyncio."""
        del batch_size
        _nothing_else(kwargs)
        if not documents:
            return []
        vectors = await self._embedding.aembed_documents(_texts(documents)) if self._embedding else None
        if not self._made:
            await self._shelf.acreate(*_kind(vectors))
            self._made = True
        return await self._shelf.astore(self._packed(documents, ids, vectors))

    def delete(
        self,
        ids: list[str] | None = None,
        *,
        filter: Filter = None,  # noqa: A002 - LangChain's word
        **kwargs: Any,
    ) -> bool:
        """Remove documents by id or by filter; without either, all of them."""
        _nothing_else(kwargs)
        self._shelf.remove(*_removal(ids, filter))
        return True

    async def adelete(
        self,
        ids: list[str] | None = None,
        *,
        filter: Filter = None,  # noqa: A002 - LangChain's word
        **kwargs: Any,
    ) -> bool:
        """`delete` for asyncio."""
        _nothing_else(kwargs)
        await self._shelf.aremove(*_removal(ids, filter))
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Read documents by id, whole; ids that are not there are left out."""
        return [searches.as_read(each) for each in self._shelf.read(ids)]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """`get_by_ids` for asyncio."""
        return [searches.as_read(each) for each in await self._shelf.aread(ids)]

    def _packed(
        self, documents: Sequence[Document], ids: Sequence[str | None] | None, vectors: Vectors
    ) -> list[Stored]:
        named = ids if ids is not None else [each.id for each in documents]
        if len(named) != len(documents):
            raise ValueError(f"{len(named)} ids for {len(documents)} documents")
        brought = vectors if vectors is not None else [None] * len(documents)
        return [
            Stored(
                doc_id=doc_id or str(uuid.uuid4()),
                text=each.page_content,
                metadata=each.metadata,
                chunks=() if self._split else (Chunk(each.page_content, vector=vector),),
            )
            for each, doc_id, vector in zip(documents, named, brought, strict=True)
        ]


def _texts(documents: Sequence[Document]) -> list[str]:
    return [each.page_content for each in documents]


def _kind(vectors: Vectors) -> tuple[str, int]:
    """Return what a collection that is made for them has as embedder and dimension."""
    return ("none", len(vectors[0])) if vectors else ("", 0)


def _removal(ids: Sequence[str] | None, given: Filter) -> tuple[Sequence[str], str, bool]:
    text = filter_text(given)
    if ids is not None and text != "":
        raise ValueError("documents are removed by ids or by a filter, not by both")
    return ids or (), text, ids is None and text == ""


def _nothing_else(options: Mapping[str, Any]) -> None:
    if options:
        raise TypeError(f"there is no option {', '.join(options)}")

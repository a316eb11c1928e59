"""Reading documents and chunks back, one by one and in pages."""

from __future__ import annotations

from collections.abc import Sequence

from rag_grpc.core import filter_language
from rag_grpc.core.errors import DocumentNotFound, RevisionMismatch
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import DEFAULT_COLLECTION, Collection, Document
from rag_grpc.core.ports import ChunkPage, DocumentPage, Store


class Reading:
    """Reads what is stored, as it is now."""

    def __init__(self, *, store: Store, limits: Limits) -> None:
        self._store = store
        # The store counts texts, metadata and vectors. Ids, headings and framing need the rest.
        self._page_bytes = limits.max_response_bytes * 3 // 4

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

    async def count(self, collection: str, filter_text: str = "") -> int:
        """How many documents pass a filter. Raises CollectionNotFound, InvalidFilter."""
        passing = filter_language.parse(filter_text)
        where = self._collection(collection)
        if passing is None:
            return self._store.counts(where).documents
        return await self._store.count_documents(where, passing)

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
        self, collection: str, *, after: str | None, limit: int, include_text: bool, filter_text: str = ""
    ) -> DocumentPage:
        """Read up to `limit` documents that pass a filter and whose ids follow `after`.

        Raises CollectionNotFound, InvalidFilter.
        """
        return await self._store.list_documents(
            self._collection(collection),
            after=after,
            limit=limit,
            include_text=include_text,
            max_bytes=self._page_bytes,
            filter=filter_language.parse(filter_text),
        )

    def _collection(self, name: str) -> Collection:
        return self._store.collection(name or DEFAULT_COLLECTION)

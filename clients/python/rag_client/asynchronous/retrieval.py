"""RetrievalService for the asyncio client."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Unpack

from rag_client import requests
from rag_client.asynchronous.sender import AsyncSender

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from rag_client.errors import RagClientError
    from rag_client.models import Chunk, ChunkPage, Document, DocumentPage
    from rag_client.queries import QueryFields, QueryOptions, QueryResult


class AsyncRetrievalCalls(AsyncSender):
    """Finds chunks and reads documents back."""

    async def query(
        self, query: str = "", *, timeout: float | None = None, **options: Unpack[QueryOptions]
    ) -> QueryResult:
        """Find the best chunks for a text, for a `vector`, or for the document `doc_id`."""
        return await self._send(requests.query({"query": query, **options}), timeout)

    async def batch_query(
        self, queries: Iterable[str | QueryFields], *, timeout: float | None = None
    ) -> list[QueryResult | RagClientError]:
        """Answer several queries in one call. Where one failed, its error stands in its place."""
        return await self._send(requests.batch_query(queries), timeout)

    async def get_document(
        self, doc_id: str, *, collection: str = "", timeout: float | None = None
    ) -> Document:
        """Read one document, without its chunks."""
        return await self._send(requests.get_document(doc_id, collection=collection), timeout)

    async def get_documents(
        self, doc_ids: Iterable[str], *, collection: str = "", timeout: float | None = None
    ) -> list[Document]:
        """Read several documents; ids that are not there are left out."""
        return await self._send(requests.get_documents(doc_ids, collection=collection), timeout)

    async def count_documents(
        self,
        *,
        collection: str = "",
        filter: str = "",  # noqa: A002 - the contract's word
        timeout: float | None = None,
    ) -> int:
        """Count documents."""
        return await self._send(requests.count_documents(collection=collection, filter=filter), timeout)

    async def list_chunks(
        self,
        doc_id: str,
        *,
        collection: str = "",
        page_size: int = 0,
        page_token: str = "",
        include_vectors: bool = False,
        timeout: float | None = None,
    ) -> ChunkPage:
        """Read one page of a document's chunks."""
        call = requests.list_chunks(
            doc_id,
            collection=collection,
            page_size=page_size,
            page_token=page_token,
            include_vectors=include_vectors,
        )
        return await self._send(call, timeout)

    async def iter_chunks(
        self,
        doc_id: str,
        *,
        collection: str = "",
        page_size: int = 0,
        include_vectors: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[Chunk]:
        """Read all chunks of a document, page by page.

        Raises RevisionMismatchError where the document changes on the way: begin again, for what was read
        belongs to the version before.
        """
        read_page = partial(
            self.list_chunks,
            doc_id,
            collection=collection,
            page_size=page_size,
            include_vectors=include_vectors,
            timeout=timeout,
        )
        async for page in self._pages(read_page):
            for each in page.chunks:
                yield each

    async def list_documents(
        self,
        *,
        collection: str = "",
        filter: str = "",  # noqa: A002 - the contract's word
        page_size: int = 0,
        page_token: str = "",
        include_text: bool = False,
        include_total_count: bool = False,
        timeout: float | None = None,
    ) -> DocumentPage:
        """Read one page of documents, by doc_id."""
        call = requests.list_documents(
            collection=collection,
            filter=filter,
            page_size=page_size,
            page_token=page_token,
            include_text=include_text,
            include_total_count=include_total_count,
        )
        return await self._send(call, timeout)

    async def iter_documents(
        self,
        *,
        collection: str = "",
        filter: str = "",  # noqa: A002 - the contract's word
        page_size: int = 0,
        include_text: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[Document]:
        """Read all documents, page by page; each that stays there is yielded exactly once."""
        read_page = partial(
            self.list_documents,
            collection=collection,
            filter=filter,
            page_size=page_size,
            include_text=include_text,
            timeout=timeout,
        )
        async for page in self._pages(read_page):
            for each in page.documents:
                yield each

"""RetrievalService for the sync client."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Unpack

from rag_client import requests
from rag_client.blocking.sender import BlockingSender

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rag_client.errors import RagClientError
    from rag_client.models import Chunk, ChunkPage, Document, DocumentPage
    from rag_client.queries import QueryFields, QueryOptions, QueryResult


class RetrievalCalls(BlockingSender):
    """Finds chunks and reads documents back."""

    def query(
        self, query: str = "", *, timeout: float | None = None, **options: Unpack[QueryOptions]
    ) -> QueryResult:
        """Find the best chunks for a text, for a `vector`, or for the document `doc_id`."""
        return self._send(requests.query({"query": query, **options}), timeout)

    def batch_query(
        self, queries: Iterable[str | QueryFields], *, timeout: float | None = None
    ) -> list[QueryResult | RagClientError]:
        """Answer several queries in one call. Where one failed, its error stands in its place."""
        return self._send(requests.batch_query(queries), timeout)

    def get_document(self, doc_id: str, *, collection: str = "", timeout: float | None = None) -> Document:
        """Read one document, without its chunks."""
        return self._send(requests.get_document(doc_id, collection=collection), timeout)

    def get_documents(
        self, doc_ids: Iterable[str], *, collection: str = "", timeout: float | None = None
    ) -> list[Document]:
        """Read several documents; ids that are not there are left out."""
        return self._send(requests.get_documents(doc_ids, collection=collection), timeout)

    def count_documents(
        self,
        *,
        collection: str = "",
        filter: str = "",  # noqa: A002 - the contract's word
        timeout: float | None = None,
    ) -> int:
        """Count documents."""
        return self._send(requests.count_documents(collection=collection, filter=filter), timeout)

    def list_chunks(
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
        return self._send(call, timeout)

    def iter_chunks(
        self,
        doc_id: str,
        *,
        collection: str = "",
        page_size: int = 0,
        include_vectors: bool = False,
        timeout: float | None = None,
    ) -> Iterator[Chunk]:
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
        for page in self._pages(read_page):
            yield from page.chunks

    def list_documents(
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
        return self._send(call, timeout)

    def iter_documents(
        self,
        *,
        collection: str = "",
        filter: str = "",  # noqa: A002 - the contract's word
        page_size: int = 0,
        include_text: bool = False,
        timeout: float | None = None,
    ) -> Iterator[Document]:
        """Read all documents, page by page; each that stays there is yielded exactly once."""
        read_page = partial(
            self.list_documents,
            collection=collection,
            filter=filter,
            page_size=page_size,
            include_text=include_text,
            timeout=timeout,
        )
        for page in self._pages(read_page):
            yield from page.documents

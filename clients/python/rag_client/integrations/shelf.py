"""One collection as a framework's vector store sees it: a shelf to put documents on, to search and to clear.

Frameworks have two methods for everything, one that blocks and one for asyncio, and people have one of our
clients or both. A Shelf takes what it is given: where there is no AsyncRagClient, asyncio's methods use the
sync client in a thread, which it is safe for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rag_client import AsyncRagClient, RagClient
    from rag_client.models import Document, IngestResult
    from rag_client.queries import QueryFields, QueryResult

AT_ONCE = 100
"""Documents read by id in one call: whole texts, and a response has a limit."""


class Shelf:
    """A collection, by either client. An empty `collection` means "default"."""

    def __init__(
        self,
        client: RagClient | None,
        async_client: AsyncRagClient | None,
        collection: str,
    ) -> None:
        if client is None and async_client is None:
            raise ValueError("a client is needed: a RagClient, an AsyncRagClient, or both")
        self._client = client
        self.async_client = async_client
        self.collection = collection

    @property
    def client(self) -> RagClient:
        """The sync client. Raises ValueError where there is the asyncio one alone."""
        if self._client is None:
            raise ValueError("a method that blocks needs a RagClient; there is an AsyncRagClient alone")
        return self._client

    def create(self, embedder: str, dimension: int) -> None:
        """Make the collection where it is missing. Raises CollectionExistsError where it is another one."""
        if self.collection:
            self.client.create_collection(self.collection, embedder=embedder, dimension=dimension)

    async def acreate(self, embedder: str, dimension: int) -> None:
        """`create` for asyncio."""
        if self.async_client is None:
            await asyncio.to_thread(self.create, embedder, dimension)
        elif self.collection:
            await self.async_client.create_collection(self.collection, embedder=embedder, dimension=dimension)

    def metric(self) -> str:
        """How near two embeddings of the collection are: "cosine", "dot" or "euclidean"."""
        return self.client.get_collection(self.collection).metric

    async def ametric(self) -> str:
        """`metric` for asyncio."""
        if self.async_client is None:
            return await asyncio.to_thread(self.metric)
        return (await self.async_client.get_collection(self.collection)).metric

    def store(self, documents: Sequence[Document]) -> list[str]:
        """Store documents, return their ids. Raises the error of one that failed; the others are stored."""
        return stored(self.client.ingest_stream(documents, collection=self.collection))

    async def astore(self, documents: Sequence[Document]) -> list[str]:
        """`store` for asyncio."""
        if self.async_client is None:
            return await asyncio.to_thread(self.store, documents)
        stream = self.async_client.ingest_stream(documents, collection=self.collection)
        return stored([result async for result in stream])

    def query(self, fields: QueryFields) -> QueryResult:
        """Ask the collection."""
        asked: QueryFields = {**fields, "collection": self.collection}
        return self.client.query(**asked)

    async def aquery(self, fields: QueryFields) -> QueryResult:
        """`query` for asyncio."""
        if self.async_client is None:
            return await asyncio.to_thread(self.query, fields)
        asked: QueryFields = {**fields, "collection": self.collection}
        return await self.async_client.query(**asked)

    def read(self, doc_ids: Sequence[str]) -> list[Document]:
        """Read documents by id; ids that are not there are left out."""
        found: list[Document] = []
        for some in _slices(doc_ids):
            found += self.client.get_documents(some, collection=self.collection)
        return found

    async def aread(self, doc_ids: Sequence[str]) -> list[Document]:
        """`read` for asyncio."""
        if self.async_client is None:
            return await asyncio.to_thread(self.read, doc_ids)
        found: list[Document] = []
        for some in _slices(doc_ids):
            found += await self.async_client.get_documents(some, collection=self.collection)
        return found

    def find(self, filter_: str) -> list[Document]:
        """Read all documents that a filter lets through, by doc_id."""
        found = self.client.iter_documents(collection=self.collection, filter=filter_, include_text=True)
        return list(found)

    async def afind(self, filter_: str) -> list[Document]:
        """`find` for asyncio."""
        if self.async_client is None:
            return await asyncio.to_thread(self.find, filter_)
        found = self.async_client.iter_documents(
            collection=self.collection, filter=filter_, include_text=True
        )
        return [document async for document in found]

    def remove(self, doc_ids: Sequence[str] = (), filter_: str = "", everything: bool = False) -> None:
        """Remove documents by id, by filter, or all; no ids are no documents."""
        if doc_ids or everything or filter_ != "":
            self.client.delete_documents(doc_ids, collection=self.collection, filter=filter_, all=everything)

    async def aremove(self, doc_ids: Sequence[str] = (), filter_: str = "", everything: bool = False) -> None:
        """`remove` for asyncio."""
        if self.async_client is None:
            await asyncio.to_thread(self.remove, doc_ids, filter_, everything)
        elif doc_ids or everything or filter_ != "":
            await self.async_client.delete_documents(
                doc_ids, collection=self.collection, filter=filter_, all=everything
            )


def stored(results: Iterable[IngestResult]) -> list[str]:
    """Return the ids of what was stored. Raises the first error, with a note on how many there were."""
    ids: list[str] = []
    errors: list[tuple[str, Exception]] = []
    for result in results:
        ids.append(result.doc_id)
        if result.error is not None:
            errors.append((result.doc_id, result.error))
    if errors:
        doc_id, error = errors[0]
        error.add_note(f"document {doc_id!r}; {len(errors)} of {len(ids)} documents failed")
        raise error
    return ids


def _slices(doc_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (doc_ids[begin : begin + AT_ONCE] for begin in range(0, len(doc_ids), AT_ONCE))

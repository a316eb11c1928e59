"""Reading documents and chunks back: the part of the embedded store's face that only reads.

Each read runs in a read thread, inside one read transaction, so all that it gives is of
one moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from rag_grpc.core.errors import WordsNotReady
from rag_grpc.core.filters import Filter
from rag_grpc.core.models import Collection, Document, DocumentMatch
from rag_grpc.core.ports import ChunkPage, DocumentPage, MetadataCodec
from rag_grpc.core.searches import WordCounts
from rag_grpc.stores.embedded import document_rows
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.lexical_folder import LexicalFault
from rag_grpc.stores.embedded.lexical_search import count_words
from rag_grpc.stores.embedded.passing_documents import PassingDocuments
from rag_grpc.stores.embedded.waiting_searches import Work


class StoreReads:
    """See ports.Store for what every method promises."""

    def __init__(self, codec: MetadataCodec) -> None:
        self._codec = codec

    def _state(self, collection: Collection) -> CollectionState:
        """Return what is published of a collection. Raises CollectionNotFound and NotReady."""
        raise NotImplementedError

    async def _read(self, work: Work) -> Any:
        """Run `work` in a read thread."""
        raise NotImplementedError

    async def word_counts(self, collection: Collection, terms: Sequence[str]) -> WordCounts:
        """Count the chunks in which each term stands, as of the last commit of words."""
        state = self._state(collection)

        def count(_: apsw.Connection) -> WordCounts:
            view = state.words()
            if view is None:
                raise WordsNotReady
            try:
                return count_words(view, terms)
            except LexicalFault as fault:
                # Whoever searches next has the index made anew.
                raise WordsNotReady from fault

        counts: WordCounts = await self._read(count)
        return counts

    async def embedding_key(self, collection: Collection, doc_id: str) -> bytes | None:
        """Read the stored document's embedding key."""
        number = self._state(collection).collection.id
        key: bytes | None = await self._read(
            lambda reader: document_rows.read_embedding_key(reader, number, doc_id)
        )
        return key

    async def documents(
        self, collection: Collection, doc_ids: Sequence[str], *, include_text: bool
    ) -> list[Document | None]:
        """Read documents by id."""
        number = self._state(collection).collection.id
        found: list[Document | None] = await self._read(
            lambda reader: document_rows.read_documents(reader, number, doc_ids, include_text=include_text)
        )
        return found

    async def list_documents(
        self,
        collection: Collection,
        *,
        after: str | None,
        limit: int,
        include_text: bool,
        max_bytes: int,
        filter: Filter | None = None,  # noqa: A002 - the contract's word
    ) -> DocumentPage:
        """Read a page of documents."""
        state = self._state(collection)
        number = state.collection.id

        def read(reader: apsw.Connection) -> DocumentPage:
            if filter is None:
                return document_rows.read_document_page(
                    reader, number, after=after, limit=limit, include_text=include_text, max_bytes=max_bytes
                )
            passing = PassingDocuments(state, filter, self._codec)
            return passing.page(
                reader, after=after, limit=limit, include_text=include_text, max_bytes=max_bytes
            )

        page: DocumentPage = await self._read(read)
        return page

    async def count_documents(self, collection: Collection, filter: Filter | None) -> int:  # noqa: A002
        """Count the documents that pass."""
        state = self._state(collection)
        if filter is None:
            return state.view.counts.documents
        count: int = await self._read(PassingDocuments(state, filter, self._codec).count)
        return count

    async def list_chunks(
        self,
        collection: Collection,
        doc_id: str,
        *,
        first: int,
        limit: int,
        include_vectors: bool,
        max_bytes: int,
    ) -> ChunkPage:
        """Read a page of a document's chunks."""
        self._state(collection)
        page: ChunkPage = await self._read(
            lambda reader: document_rows.read_chunk_page(
                reader,
                collection,
                doc_id,
                first=first,
                limit=limit,
                include_vectors=include_vectors,
                max_bytes=max_bytes,
            )
        )
        return page

    async def matches(self, collection: Collection, filter: Filter | None) -> list[DocumentMatch]:  # noqa: A002
        """Read the id and content revision of every document that passes."""
        state = self._state(collection)
        if filter is None:
            number = state.collection.id
            found: list[DocumentMatch] = await self._read(
                lambda reader: document_rows.read_matches(reader, number)
            )
        else:
            found = await self._read(PassingDocuments(state, filter, self._codec).matches)
        return found

"""Pages of the memory store's documents and chunks, which end early by size."""

from __future__ import annotations

from collections.abc import Iterable

from rag_grpc.core.models import Chunk, Document
from rag_grpc.core.ports import ChunkPage, DocumentPage
from rag_grpc.stores.stored_document import StoredDocument


def page_of_documents(
    passing: Iterable[StoredDocument], *, limit: int, include_text: bool, max_bytes: int
) -> DocumentPage:
    """Take documents, in their order, until a page is full; see Store.list_documents."""
    documents: list[Document] = []
    room = max_bytes
    for stored in passing:
        document = stored.read(include_text=include_text)
        room -= _size(document.text) + _size(document.title) + len(document.packed_metadata)
        if len(documents) == limit or (room < 0 and documents):
            return DocumentPage(tuple(documents), more=True)
        documents.append(document)
    return DocumentPage(tuple(documents), more=False)


def page_of_chunks(
    stored: StoredDocument, *, first: int, limit: int, include_vectors: bool, max_bytes: int
) -> ChunkPage:
    """Take a document's chunks from ordinal `first` on until a page is full; see Store.list_chunks."""
    count = len(stored.document.chunks)
    chunks: list[Chunk] = []
    room = max_bytes
    for ordinal in range(first, min(first + limit, count)):
        chunk = stored.chunk(ordinal, text=True, vector=include_vectors)
        room -= _size(chunk.text) + (0 if chunk.vector is None else chunk.vector.nbytes)
        if room < 0 and chunks:
            break
        chunks.append(chunk)
    return ChunkPage(tuple(chunks), revision=stored.revision, more=first + len(chunks) < count)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))

"""Reading documents and chunks as they are now, in pages that end early by size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from rag_grpc.core.errors import DocumentNotFound
from rag_grpc.core.models import (
    Chunk,
    Collection,
    Document,
    DocumentMatch,
)
from rag_grpc.core.ports import ChunkPage, DocumentPage
from rag_grpc.stores.embedded.hit_rows import headings_of, vector_of
from rag_grpc.stores.embedded.side import TABLES

COLUMNS = "doc_id, media_type, title, metadata, revision, content_hash, chunk_count, create_time, update_time"
TEXT = "(SELECT text FROM document_text WHERE key = document.key)"
LIVE = "collection = ? AND dead IS NULL"


def read_embedding_key(reader: apsw.Connection, collection_id: int, doc_id: str) -> bytes | None:
    """Read a document's embedding key."""
    row: Any = reader.execute(
        f"SELECT embedding_key FROM document WHERE {LIVE} AND doc_id = ?",  # noqa: S608  # constants
        (collection_id, doc_id),
    ).fetchone()
    return None if row is None else row[0]


def read_documents(
    reader: apsw.Connection, collection_id: int, doc_ids: Sequence[str], *, include_text: bool
) -> list[Document | None]:
    """Read documents by id, None for those that are not there."""
    text = TEXT if include_text else "''"
    statement = f"SELECT {COLUMNS}, {text} FROM document WHERE {LIVE} AND doc_id = ?"  # noqa: S608  # constants
    rows = [reader.execute(statement, (collection_id, doc_id)).fetchone() for doc_id in doc_ids]
    return [None if row is None else document_of(row) for row in rows]


def read_document_page(
    reader: apsw.Connection,
    collection_id: int,
    *,
    after: str | None,
    limit: int,
    include_text: bool,
    max_bytes: int,
) -> DocumentPage:
    """Read documents behind an id, by UTF-8 bytes, which is how SQLite compares text."""
    text = TEXT if include_text else "''"
    rows = reader.execute(
        f"SELECT {COLUMNS}, {text} FROM document WHERE {LIVE}"  # noqa: S608  # constants
        f" {'' if after is None else 'AND doc_id > ?'} ORDER BY doc_id LIMIT ?",
        (collection_id, limit + 1) if after is None else (collection_id, after, limit + 1),
    )
    documents: list[Document] = []
    size = 0
    for row in rows:
        document = document_of(row)
        size += len(document.text.encode()) + len(document.title.encode()) + len(document.packed_metadata)
        if len(documents) == limit or (documents and size > max_bytes):
            return DocumentPage(tuple(documents), more=True)
        documents.append(document)
    return DocumentPage(tuple(documents), more=False)


def read_chunk_page(
    reader: apsw.Connection,
    collection: Collection,
    doc_id: str,
    *,
    first: int,
    limit: int,
    include_vectors: bool,
    max_bytes: int,
) -> ChunkPage:
    """Read a document's chunks from an ordinal on. Raises DocumentNotFound."""
    head: Any = reader.execute(
        f"SELECT first_chunk, chunk_count, revision FROM document WHERE {LIVE} AND doc_id = ?",  # noqa: S608
        (collection.id, doc_id),
    ).fetchone()
    if head is None:
        raise DocumentNotFound(collection.name, doc_id)
    first_chunk, count, revision = head
    vector = "NULL"
    if include_vectors:
        side: Any = reader.execute("SELECT side FROM collection WHERE id = ?", (collection.id,)).get
        vector = f"(SELECT vector FROM {TABLES[side]} WHERE chunk = id)"  # noqa: S608  # constants
    rows = reader.execute(
        f"SELECT ordinal, text, start_offset, end_offset, headings, {vector}"  # noqa: S608  # constants
        " FROM chunk WHERE id >= ? AND id < ? ORDER BY id",
        (first_chunk + first, first_chunk + min(count, first + limit)),
    )
    chunks: list[Chunk] = []
    size = 0
    for row in rows:
        chunk = _chunk(row)
        size += len(chunk.text.encode())
        size += 0 if chunk.vector is None else chunk.vector.nbytes
        if chunks and size > max_bytes:
            break
        chunks.append(chunk)
    return ChunkPage(tuple(chunks), revision, more=first + len(chunks) < count)


def read_matches(reader: apsw.Connection, collection_id: int) -> list[DocumentMatch]:
    """Read every document's id and the revision of its content."""
    rows: Any = reader.execute(
        f"SELECT doc_id, content_revision FROM document WHERE {LIVE} ORDER BY doc_id",  # noqa: S608  # constants
        (collection_id,),
    )
    return [DocumentMatch(*row) for row in rows]


def document_of(row: Any) -> Document:
    """Make a document of COLUMNS and its text."""
    doc_id, media_type, title, metadata, revision, content_hash, chunk_count, created, updated, text = row
    return Document(
        doc_id=doc_id,
        text=text,
        media_type=media_type,
        title=title,
        packed_metadata=metadata,
        revision=revision,
        content_hash=content_hash,
        chunk_count=chunk_count,
        create_time=created,
        update_time=updated,
    )


def _chunk(row: Any) -> Chunk:
    ordinal, text, start, end, headings, vector = row
    return Chunk(
        ordinal=ordinal,
        text=text,
        start=start,
        end=end,
        headings=headings_of(headings),
        vector=None if vector is None else vector_of(vector),
    )

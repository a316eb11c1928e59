"""Reading documents and chunks as they are now, in pages that end early by size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

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

COLUMNS = "doc_id, media_type, title, metadata, revision, content_hash, chunk_count, create_time, update_time"
TEXT = "(SELECT text FROM document_text WHERE key = document.key)"
LIVE = "collection = ? AND dead IS NULL"

Passing: TypeAlias = Callable[[Document], bool]
"""Whether a document passes a filter; of its text nothing is asked."""


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
    return [None if row is None else _document(row) for row in rows]


def read_document_page(
    reader: apsw.Connection,
    collection_id: int,
    passing: Passing | None,
    *,
    after: str | None,
    limit: int,
    include_text: bool,
    max_bytes: int,
) -> DocumentPage:
    """Read documents that pass, from behind an id on, by UTF-8 bytes, which is how SQLite compares text."""
    rows = reader.execute(
        f"SELECT {COLUMNS}, key FROM document WHERE {LIVE}"  # noqa: S608  # constants
        f" {'' if after is None else 'AND doc_id > ?'} ORDER BY doc_id",
        (collection_id,) if after is None else (collection_id, after),
    )
    documents: list[Document] = []
    size = 0
    for row in rows:
        document = _document((*row[:-1], ""))
        if passing is not None and not passing(document):
            continue
        if include_text and len(documents) < limit:
            document = replace(document, text=_text(reader, row[-1]))
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
    vector = "(SELECT vector FROM embedding WHERE chunk = id)" if include_vectors else "NULL"
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


def read_matches(reader: apsw.Connection, collection_id: int, passing: Passing | None) -> list[DocumentMatch]:
    """Read the id and the revision of its content of every document that passes."""
    if passing is None:
        rows: Any = reader.execute(
            f"SELECT doc_id, content_revision FROM document WHERE {LIVE} ORDER BY doc_id",  # noqa: S608
            (collection_id,),
        )
        return [DocumentMatch(*row) for row in rows]
    rows = reader.execute(
        f"SELECT {COLUMNS}, '', content_revision FROM document WHERE {LIVE} ORDER BY doc_id",  # noqa: S608
        (collection_id,),
    )
    return [DocumentMatch(row[0], row[-1]) for row in rows if passing(_document(row[:-1]))]


def _text(reader: apsw.Connection, key: int) -> str:
    row: Any = reader.execute("SELECT text FROM document_text WHERE key = ?", (key,)).fetchone()
    text: str = row[0]
    return text


def _document(row: Any) -> Document:
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

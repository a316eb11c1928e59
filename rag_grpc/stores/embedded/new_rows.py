"""The rows of a content that is new: its document, its text, its chunks and their vectors."""

from __future__ import annotations

import json
from typing import NamedTuple

import apsw

from rag_grpc.core.models import PreparedDocument


class NewContent(NamedTuple):
    """Where a content goes: its key, the id of its first chunk, and the seq that is its revision."""

    collection: int
    key: int
    first_chunk: int
    seq: int


def insert_document(
    connection: apsw.Connection, place: NewContent, document: PreparedDocument, *, created: int, now: int
) -> None:
    """Insert the rows of a document; times in nanoseconds since 1970."""
    connection.execute(
        "INSERT INTO document VALUES (?,?,?,?,?,NULL,?,?,?,?,?,?,?,?,?)",
        (
            place.key,
            place.collection,
            document.doc_id,
            place.seq,
            place.seq,
            place.first_chunk,
            len(document.chunks),
            document.content_hash,
            document.embedding_key,
            created,
            now,
            document.media_type,
            document.title,
            document.packed_metadata,
        ),
    )
    connection.execute("INSERT INTO document_text VALUES (?,?)", (place.key, document.text))


def insert_chunks(
    connection: apsw.Connection, place: NewContent, document: PreparedDocument, vectors_table: str
) -> None:
    """Insert the rows of its chunks; `vectors_table` is where its collection keeps vectors."""
    if document.vectors is None:
        raise AssertionError("chunks without vectors")
    insert_vector = f"INSERT INTO {vectors_table} VALUES (?,?,?)"  # noqa: S608  # one of two constants
    for ordinal, (chunk, vector) in enumerate(zip(document.chunks, document.vectors, strict=True)):
        number = place.first_chunk + ordinal
        headings = json.dumps(chunk.headings, ensure_ascii=False) if chunk.headings else None
        connection.execute(
            "INSERT INTO chunk VALUES (?,?,?,?,?,?,?)",
            (number, place.key, ordinal, chunk.start, chunk.end, headings, chunk.text),
        )
        connection.execute(insert_vector, (number, place.key, vector.tobytes()))

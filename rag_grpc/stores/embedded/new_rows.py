"""The rows of contents that are new: documents, texts, chunks, their vectors, and the log's.

They are gathered over a group and inserted table by table: a statement for each row of
each document costs twice the time. Whoever reads such rows in the same transaction, or
changes them, has them inserted first.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import apsw

from rag_grpc.core.models import PreparedDocument
from rag_grpc.stores.embedded.right_of_way import RightOfWay
from rag_grpc.stores.embedded.side import TABLES


class NewContent(NamedTuple):
    """Where a content goes: its key, the id of its first chunk, and the seq that is its revision."""

    collection: int
    key: int
    first_chunk: int
    seq: int


class NewRows:
    """Rows that wait to be inserted in one transaction."""

    def __init__(self, right_of_way: RightOfWay) -> None:
        self._right_of_way = right_of_way
        self._waiting: set[tuple[int, str]] = set()
        self._rows: dict[str, list[tuple[object, ...]]] = {
            "INSERT INTO document VALUES (?,?,?,?,?,NULL,?,?,?,?,?,?,?,?,?)": [],
            "INSERT INTO document_text VALUES (?,?)": [],
            "INSERT INTO chunk VALUES (?,?,?,?,?,?,?)": [],
            "INSERT INTO change VALUES (?,?,'born',?,?,?)": [],
            **{f"INSERT INTO {table} VALUES (?,?,?)": [] for table in TABLES},  # noqa: S608  # constants
        }
        self._documents, self._texts, self._chunks, self._changes, *self._vectors = self._rows.values()

    def holds(self, collection: int, doc_id: str) -> bool:
        """Whether rows of this document wait."""
        return (collection, doc_id) in self._waiting

    def add(
        self, place: NewContent, document: PreparedDocument, side: int, *, created: int, now: int
    ) -> None:
        """Add a content; `side` is where its collection keeps vectors. Times in nanoseconds since 1970."""
        if document.vectors is None:
            raise AssertionError("chunks without vectors")
        collection, key, first_chunk, seq = place
        count = len(document.chunks)
        self._waiting.add((collection, document.doc_id))
        self._documents.append(
            (
                key,
                collection,
                document.doc_id,
                seq,
                seq,
                first_chunk,
                count,
                document.content_hash,
                document.embedding_key,
                created,
                now,
                document.media_type,
                document.title,
                document.packed_metadata,
            )
        )
        self._texts.append((key, document.text))
        self._changes.append((collection, seq, key, first_chunk, count))
        vectors = self._vectors[side]
        for ordinal, (text, start, end, headings) in enumerate(document.chunks):
            number = first_chunk + ordinal
            written = json.dumps(headings, ensure_ascii=False) if headings else None
            self._chunks.append((number, key, ordinal, start, end, written, text))
            vectors.append((number, key, document.vectors[ordinal].tobytes()))

    def insert(self, connection: apsw.Connection) -> None:
        """Insert what waits. Raises apsw.Error; then the transaction must not go on."""
        if not self._waiting:
            return
        for statement, rows in self._rows.items():
            if rows:
                connection.executemany(statement, self._right_of_way.between(rows))
                rows.clear()
        self._waiting.clear()

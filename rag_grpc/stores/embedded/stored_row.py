"""The row of a document that a write meets: what the write is decided by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from rag_grpc.core.decisions import StoredVersion
from rag_grpc.stores.embedded.effects import Version


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A living document."""

    doc_id: str
    key: int
    content_revision: int
    first_chunk: int
    create_time: int
    title: str
    metadata: bytes
    version: StoredVersion

    def described(self, metadata: bytes, now: int) -> Version:
        """Return the version that a change of metadata makes of it."""
        chunks = self.version.chunk_count
        return Version(
            self.key, self.first_chunk, chunks, self.doc_id, self.title, self.create_time, now, metadata
        )


_COLUMNS = (
    "doc_id, key, content_revision, first_chunk, create_time, title, metadata,"
    " revision, content_hash, embedding_key, chunk_count"
)


def read_all_stored(connection: apsw.Connection, collection: int, doc_ids: Sequence[str]) -> list[StoredRow]:
    """Read the living documents among these ids."""
    rows: Any = connection.execute(
        f"SELECT {_COLUMNS} FROM document WHERE collection = ? AND dead IS NULL"  # noqa: S608  # constants
        " AND doc_id IN (SELECT value FROM json_each(?))",
        (collection, json.dumps(doc_ids, ensure_ascii=False)),
    )
    return [_stored(row) for row in rows]


def read_stored(connection: apsw.Connection, collection: int, doc_id: str) -> StoredRow | None:
    """Read the living document of an id."""
    row: Any = connection.execute(
        f"SELECT {_COLUMNS} FROM document"  # noqa: S608  # constants
        " WHERE collection = ? AND doc_id = ? AND dead IS NULL",
        (collection, doc_id),
    ).fetchone()
    return None if row is None else _stored(row)


def _stored(row: Any) -> StoredRow:
    return StoredRow(row[0], row[1], row[2], row[3], row[4], row[5], row[6], StoredVersion(*row[7:]))

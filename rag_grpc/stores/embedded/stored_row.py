"""The row of a document that a write meets: what the write is decided by."""

from __future__ import annotations

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


def read_stored(connection: apsw.Connection, collection: int, doc_id: str) -> StoredRow | None:
    """Read the living document of an id."""
    row: Any = connection.execute(
        "SELECT key, content_revision, first_chunk, create_time, title, metadata,"
        " revision, content_hash, embedding_key, chunk_count"
        " FROM document WHERE collection = ? AND doc_id = ? AND dead IS NULL",
        (collection, doc_id),
    ).fetchone()
    if row is None:
        return None
    return StoredRow(doc_id, row[0], row[1], row[2], row[3], row[4], row[5], StoredVersion(*row[6:]))

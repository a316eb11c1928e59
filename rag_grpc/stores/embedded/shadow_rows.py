"""The rows of a shadow: what is kept of another embedder, and what is still missing.

Contents are embedded in order of their keys, so one key says how far the vectors reach:
what lives above it has none. Hashes are kept beside the revision that they were made
from; where a document has a newer one by now, they are missing again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import numpy as np

from rag_grpc.core.models import PreparedChunk
from rag_grpc.core.shadow import ShadowContent, StoredContent, Target
from rag_grpc.stores.embedded.dense_index import Born
from rag_grpc.stores.embedded.hit_rows import headings_of
from rag_grpc.stores.embedded.migrations import first_id
from rag_grpc.stores.embedded.side import TABLES

COLUMNS = (
    "d.key, d.revision, d.doc_id, t.text, d.media_type, d.title, d.metadata, d.embedding_key,"
    " d.first_chunk, d.chunk_count"
)
OUTDATED = (
    "document d LEFT JOIN shadow_content s ON s.key = d.key"
    " WHERE d.key > ? AND d.key <= ? AND d.dead IS NULL AND s.revision IS NOT d.revision"
)


@dataclass(frozen=True, slots=True)
class ShadowRow:
    """A collection's shadow: for whom, and up to which content it has vectors."""

    target: Target
    through: int


def read_shadow(connection: apsw.Connection, collection: int) -> ShadowRow | None:
    """Read the shadow of a collection, if it has one."""
    row: Any = connection.execute(
        "SELECT embedder, embedder_fingerprint, dimension, through FROM shadow WHERE collection = ?",
        (collection,),
    ).fetchone()
    return None if row is None else ShadowRow(Target(*row[:3]), row[3])


def begin_shadow(connection: apsw.Connection, collection: int, target: Target) -> None:
    """Write down for whom vectors will be gathered."""
    with connection:
        connection.execute(
            "INSERT INTO shadow VALUES (?,?,?,?,?)",
            (collection, target.embedder, target.fingerprint, target.dimension, first_id(collection)),
        )


def end_shadow(connection: apsw.Connection, collection: int) -> None:
    """Forget for whom; the vectors are purged by `purge`."""
    with connection:
        connection.execute("DELETE FROM shadow WHERE collection = ?", (collection,))


def other_table(connection: apsw.Connection, collection: int) -> str:
    """Name the table that the collection's vectors do not lie in.

    From its row, and not from what the process knows: after a COMMIT that failed that may be wrong, and the
    living vectors would be taken for those that nobody looks at.
    """
    side: Any = connection.execute("SELECT side FROM collection WHERE id = ?", (collection,)).get
    return TABLES[1 - side]


def purge(connection: apsw.Connection, collection: int, limit: int) -> bool:
    """Remove a slice of the side that nobody looks at, and of hashes; return whether there may be more."""
    begin, end = first_id(collection), first_id(collection + 1)
    table = other_table(connection, collection)
    left = connection.execute(
        f"SELECT 1 FROM {table} WHERE chunk > ?1 AND chunk < ?2"  # noqa: S608  # one of two
        " UNION ALL SELECT 1 FROM shadow_content WHERE key > ?1 AND key < ?2 LIMIT 1",
        (begin, end),
    ).get
    if left is None:
        return False
    with connection:
        for name, key in ((table, "chunk"), ("shadow_content", "key")):
            connection.execute(
                f"DELETE FROM {name} WHERE {key} IN"  # noqa: S608  # constants
                f" (SELECT {key} FROM {name} WHERE {key} > ? AND {key} < ? LIMIT ?)",
                (begin, end, limit),
            )
    return True


def count_left(connection: apsw.Connection, collection: int, through: int) -> int:
    """Count the living chunks above a content."""
    count: Any = connection.execute(
        "SELECT coalesce(sum(chunk_count), 0) FROM document WHERE key > ? AND key < ? AND dead IS NULL",
        (through, first_id(collection + 1)),
    ).get
    return int(count)


def read_page(
    connection: apsw.Connection, collection: int, through: int, *, max_chunks: int, max_bytes: int
) -> tuple[StoredContent, ...]:
    """Read what is to be done next; see core.shadow.Shadow.page."""
    page: list[StoredContent] = []
    for row, embedded in _missing(connection, collection, through):
        key, revision, doc_id, text, media_type, title, metadata, embedding_key, first_chunk, count = row
        max_chunks -= count
        max_bytes -= len(text.encode())
        if page and min(max_chunks, max_bytes) < 0:
            break
        page.append(
            StoredContent(
                key=key,
                revision=revision,
                doc_id=doc_id,
                text=text,
                media_type=media_type,
                title=title,
                packed_metadata=metadata,
                embedding_key=embedding_key,
                chunks=_chunks(connection, first_chunk, count),
                embedded=embedded,
            )
        )
    return tuple(page)


def _missing(connection: apsw.Connection, collection: int, through: int) -> Iterator[tuple[Any, bool]]:
    unembedded = connection.execute(
        f"SELECT {COLUMNS} FROM document d JOIN document_text t USING (key)"  # noqa: S608  # constants
        " WHERE d.key > ? AND d.key < ? AND d.dead IS NULL ORDER BY d.key",
        (through, first_id(collection + 1)),
    )
    yield from ((row, False) for row in unembedded)
    outdated = connection.execute(
        f"SELECT {COLUMNS} FROM {OUTDATED.replace(' WHERE', ' JOIN document_text t ON t.key = d.key WHERE')}"  # noqa: S608
        " ORDER BY d.key",
        (first_id(collection), through),
    )
    yield from ((row, True) for row in outdated)


def _chunks(connection: apsw.Connection, first: int, count: int) -> tuple[PreparedChunk, ...]:
    rows: Any = connection.execute(
        "SELECT text, start_offset, end_offset, headings FROM chunk WHERE id >= ? AND id < ? ORDER BY id",
        (first, first + count),
    )
    return tuple(PreparedChunk(text, start, end, headings_of(stored)) for text, start, end, stored in rows)


def keep(connection: apsw.Connection, collection: int, contents: Sequence[ShadowContent]) -> list[Born]:
    """Keep what was made of contents that live still, durably; return what came to the vectors."""
    born: list[Born] = []
    table = other_table(connection, collection)
    with connection:
        for content in contents:
            row: Any = connection.execute(
                "SELECT first_chunk FROM document WHERE key = ? AND dead IS NULL", (content.key,)
            ).fetchone()
            if row is None:
                continue
            if content.vectors is not None:
                vectors = np.ascontiguousarray(content.vectors, dtype="<f4")
                connection.executemany(
                    f"INSERT INTO {table} VALUES (?,?,?)",  # noqa: S608  # one of two
                    [(row[0] + place, content.key, each.tobytes()) for place, each in enumerate(vectors)],
                )
                born.append(Born(content.key, row[0], vectors))
            connection.execute(
                "INSERT OR REPLACE INTO shadow_content VALUES (?,?,?,?)",
                (content.key, content.revision, content.content_hash, content.embedding_key),
            )
        embedded = [each.key for each in contents if each.vectors is not None]
        if embedded:
            connection.execute(
                "UPDATE shadow SET through = ? WHERE collection = ?", (embedded[-1], collection)
            )
    return born


def is_whole(connection: apsw.Connection, collection: int, through: int) -> bool:
    """Whether every living content has vectors, and hashes of its present revision."""
    begin, end = first_id(collection), first_id(collection + 1)
    above = connection.execute(
        "SELECT 1 FROM document WHERE key > ? AND key < ? AND dead IS NULL LIMIT 1", (through, end)
    ).get
    if above is not None:
        return False
    return connection.execute(f"SELECT 1 FROM {OUTDATED} LIMIT 1", (begin, through)).get is None  # noqa: S608


def take_over(connection: apsw.Connection, collection: int, target: Target) -> None:
    """Let a whole shadow take over. Inside the caller's transaction."""
    connection.execute(
        "UPDATE document SET content_hash = s.content_hash, embedding_key = s.embedding_key"
        " FROM shadow_content s WHERE s.key = document.key AND document.key > ? AND document.key < ?"
        " AND document.dead IS NULL",
        (first_id(collection), first_id(collection + 1)),
    )
    connection.execute(
        "UPDATE collection SET embedder = ?, embedder_fingerprint = ?, dimension = ?, side = 1 - side"
        " WHERE id = ?",
        (target.embedder, target.fingerprint, target.dimension, collection),
    )
    connection.execute("DELETE FROM shadow WHERE collection = ?", (collection,))

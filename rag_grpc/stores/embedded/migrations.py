"""The database's schema, as numbered steps that are never edited once released.

`PRAGMA user_version` says how many were applied; each runs in a transaction of its
own. A folder from a newer release is refused: an older server cannot know what it
would break.

How rows hang together. A number below 2^22 names a collection; document keys and
chunk ids carry it in their upper bits (`collection << 40 | counter`), so that each
collection's rows lie together, a collection is one range of keys, and no id is ever
used twice (the counters only grow). A *content* is one text with its chunks: its
key is that of its document row. A change of metadata keeps the content and moves
the older version to `document_past`; a replacement makes a new content and sets
`dead` on the old one. Rows that no search can see any more are purged later, which
is what lets a search read rows after newer writes were committed.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw

from rag_grpc.core.errors import NotConfigured

COLLECTION_SHIFT = 40


def first_id(collection_id: int) -> int:
    """Return the smallest document key or chunk id of a collection (itself never given out)."""
    return collection_id << COLLECTION_SHIFT


def m001_create_tables(connection: apsw.Connection) -> None:
    """Make all tables."""
    connection.execute(
        """
        CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        INSERT INTO counter VALUES ('seq', 0);

        CREATE TABLE collection (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            uid TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL,
            embedder TEXT NOT NULL,
            embedder_fingerprint TEXT NOT NULL,
            dimension INTEGER NOT NULL,
            metric TEXT NOT NULL,
            chunking TEXT NOT NULL,         -- JSON
            language TEXT NOT NULL,
            create_time INTEGER NOT NULL,
            next_document INTEGER NOT NULL DEFAULT 1,
            next_chunk INTEGER NOT NULL DEFAULT 1,
            documents INTEGER NOT NULL DEFAULT 0,
            chunks INTEGER NOT NULL DEFAULT 0,
            log_start INTEGER NOT NULL DEFAULT 0,   -- `change` is whole behind this seq
            dropped INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        CREATE UNIQUE INDEX collection_name ON collection (name) WHERE dropped = 0;

        CREATE TABLE document (
            key INTEGER PRIMARY KEY,
            collection INTEGER NOT NULL,
            doc_id TEXT NOT NULL,
            revision INTEGER NOT NULL,          -- seq of the last change
            content_revision INTEGER NOT NULL,  -- seq at which text and chunks were written
            dead INTEGER,                       -- seq at which it was replaced or deleted
            first_chunk INTEGER NOT NULL,
            chunk_count INTEGER NOT NULL,
            content_hash BLOB NOT NULL,
            embedding_key BLOB NOT NULL,
            create_time INTEGER NOT NULL,
            update_time INTEGER NOT NULL,
            media_type TEXT NOT NULL,
            title TEXT NOT NULL,
            metadata BLOB NOT NULL              -- a serialised google.protobuf.Struct
        ) STRICT;
        CREATE UNIQUE INDEX document_live ON document (collection, doc_id) WHERE dead IS NULL;
        CREATE INDEX document_dead ON document (collection, dead) WHERE dead IS NOT NULL;

        CREATE TABLE document_text (    -- apart: a deletion must not write a text again to mark its row
            key INTEGER PRIMARY KEY,
            text TEXT NOT NULL
        ) STRICT;

        CREATE TABLE document_past (    -- versions that a change of metadata took the place of
            key INTEGER NOT NULL,
            revision INTEGER NOT NULL,
            collection INTEGER NOT NULL,
            dead INTEGER NOT NULL,
            title TEXT NOT NULL,
            metadata BLOB NOT NULL,
            PRIMARY KEY (key, revision)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX document_past_dead ON document_past (collection, dead);

        CREATE TABLE chunk (
            id INTEGER PRIMARY KEY,
            content INTEGER NOT NULL,
            ordinal INTEGER NOT NULL,
            start_offset INTEGER,
            end_offset INTEGER,
            headings TEXT,                  -- JSON, NULL for none
            text TEXT NOT NULL
        ) STRICT;

        CREATE TABLE embedding (
            chunk INTEGER PRIMARY KEY,
            content INTEGER NOT NULL,
            vector BLOB NOT NULL            -- little-endian float32, as the caller or embedder gave it
        ) STRICT;

        CREATE TABLE change (               -- what indexes catch up from
            collection INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            op TEXT NOT NULL CHECK (op IN ('born', 'dead', 'described')),
            content INTEGER NOT NULL,
            first_chunk INTEGER NOT NULL,
            chunk_count INTEGER NOT NULL,
            PRIMARY KEY (collection, seq, op)
        ) STRICT, WITHOUT ROWID;
        """
    )


def m002_add_shadows(connection: apsw.Connection) -> None:
    """Make room for the vectors of the embedder that a collection is on its way to."""
    connection.execute(
        """
        -- 0: its vectors lie in `embedding`; 1: in `embedding_other`.
        ALTER TABLE collection ADD COLUMN side INTEGER NOT NULL DEFAULT 0;

        CREATE TABLE embedding_other (
            chunk INTEGER PRIMARY KEY,
            content INTEGER NOT NULL,
            vector BLOB NOT NULL            -- as in `embedding`
        ) STRICT;

        CREATE TABLE shadow (               -- the embedder that a collection is on its way to
            collection INTEGER PRIMARY KEY,
            embedder TEXT NOT NULL,
            embedder_fingerprint TEXT NOT NULL,
            dimension INTEGER NOT NULL,
            through INTEGER NOT NULL        -- every living content up to this key has its vectors
        ) STRICT;

        CREATE TABLE shadow_content (       -- what takes the place of a document's hashes
            key INTEGER PRIMARY KEY,
            revision INTEGER NOT NULL,      -- which they were made from
            content_hash BLOB NOT NULL,
            embedding_key BLOB NOT NULL
        ) STRICT;
        """
    )


def m003_add_quality(connection: apsw.Connection) -> None:
    """Make room for what is measured of the answers; see core/quality.py."""
    connection.execute(
        """
        CREATE TABLE quality (
            time INTEGER NOT NULL,
            collection TEXT NOT NULL,       -- its name: these rows outlive it
            measure TEXT NOT NULL,
            origin TEXT NOT NULL,
            value REAL NOT NULL,
            PRIMARY KEY (time, collection, measure, origin)
        ) STRICT, WITHOUT ROWID;
        """
    )


MIGRATIONS: tuple[Callable[[apsw.Connection], None], ...] = (
    m001_create_tables,
    m002_add_shadows,
    m003_add_quality,
)


def migrate(connection: apsw.Connection) -> int:
    """Bring the schema up to date and return its version.

    Raises NotConfigured for a folder that a newer release has written.
    """
    version = int(str(connection.pragma("user_version")))
    if version > len(MIGRATIONS):
        raise NotConfigured(
            f"the data folder has schema {version}, this release knows up to {len(MIGRATIONS)}: "
            "start a release at least as new as the one that wrote it"
        )
    for number, step in enumerate(MIGRATIONS[version:], version + 1):
        with connection:
            step(connection)
            connection.pragma("user_version", number)
    return len(MIGRATIONS)

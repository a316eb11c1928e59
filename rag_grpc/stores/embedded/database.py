"""Connections to the one SQLite database, the truth of this store.

apsw, because it brings its own SQLite: those that systems ship may still have the
WAL-reset bug (fixed in 3.51.3), by which two connections that write or checkpoint
at one instant can lose committed pages. The rule that avoids it holds all the same:
exactly one connection writes and checkpoints, all others are query-only.

WAL with synchronous=FULL: a COMMIT that returned has been fsynced, so it survives a
power cut, and readers never wait for the writer.
"""

from __future__ import annotations

from pathlib import Path

import apsw
import structlog

from rag_grpc.core.errors import NotConfigured
from rag_grpc.stores.embedded.migrations import migrate

log = structlog.get_logger(__name__)

PAGE_SIZE = 8192
"""Rows with vectors and texts of a few kB fit better than in SQLite's 4096; fixed by the first write."""

WAL_LIMIT_BYTES = 64 * 1024 * 1024
"""To which the log is cut back after a checkpoint, so that one large write does not hold disk for ever."""

CHECKPOINT_PAGES = 4000
"""Some 32 MB of log between checkpoints: fewer of them make bulk loads faster."""

WRITER_CACHE_KIB = 16 * 1024
"""Pages that the writing connection keeps while documents come. With four times as many they came no faster
(300,000 chunks), and took that much more memory."""

APPLICATION_ID = 0x52414721
"""In the header of our files, so that no other program's database is taken for one: "RAG!"."""

STATEMENTS_KEPT = 256

BUSY_MILLISECONDS = 5000
SHORT_BUSY_MILLISECONDS = 100
"""How long the log may be held by readers when it shall be cut, while writes wait."""


def open_writer(path: Path, *, vfs: str | None = None) -> apsw.Connection:
    """Open the one connection that writes, and bring the schema up to date.

    `vfs` names another file layer, for tests that make the disk fail. Raises NotConfigured for a newer
    schema, apsw.Error for what SQLite cannot open.
    """
    connection = apsw.Connection(str(path), vfs=vfs, statementcachesize=STATEMENTS_KEPT)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.pragma("page_size", PAGE_SIZE)
    _claim(connection)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
    connection.pragma("journal_size_limit", WAL_LIMIT_BYTES)
    connection.pragma("cache_size", -WRITER_CACHE_KIB)
    connection.pragma("temp_store", "memory")
    migrate(connection)
    return connection


def _claim(connection: apsw.Connection) -> None:
    """Mark an empty database as ours before anything is written to it. Raises NotConfigured for another's."""
    if connection.pragma("application_id") == APPLICATION_ID:
        return
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    # The first ones that we made had no mark.
    if tables and not {"counter", "collection", "document", "chunk", "embedding"} <= tables:
        raise NotConfigured(
            f"{connection.filename!r} belongs to another program; name an empty folder, or one of ours"
        )
    connection.pragma("application_id", APPLICATION_ID)


def open_reader(path: Path) -> apsw.Connection:
    """Open a connection that reads and never checkpoints; it belongs to one thread at a time."""
    connection = apsw.Connection(str(path), statementcachesize=STATEMENTS_KEPT)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.pragma("query_only", True)
    connection.pragma("wal_autocheckpoint", 0)
    connection.pragma("cache_size", -16 * 1024)
    return connection


def last_seq(connection: apsw.Connection) -> int:
    """Return the seq of the last committed change."""
    (seq,) = connection.execute("SELECT value FROM counter WHERE name = 'seq'").fetchall()[0]
    return int(str(seq))


def tidied(connection: apsw.Connection) -> int:
    """Cut the log, which may hold much room that it does not need; return the bytes of free pages.

    Readers can hold that up, and a disk that fails can prevent it: then what is free is what is free.
    """
    connection.set_busy_timeout(SHORT_BUSY_MILLISECONDS)
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        return int(str(connection.pragma("freelist_count"))) * PAGE_SIZE
    except apsw.Error as error:
        log.warning("checkpoint_failed", error=str(error))
        return 0
    finally:
        connection.set_busy_timeout(BUSY_MILLISECONDS)

"""Room for what is to be written: on the disk, in the vector files, and in the tails.

Ingest stops while less than a reserve is free, because SQLite needs room to delete,
and a disk that is full to the last byte could not be emptied again. Free pages
inside the database count as room: they are what deletions leave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import apsw
import structlog

from rag_grpc.core.errors import RagError, StorageFull
from rag_grpc.core.models import PutDocument
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.database import PAGE_SIZE
from rag_grpc.stores.embedded.folder import DataFolder

log = structlog.get_logger(__name__)

LOG_FACTOR = 3
"""What a document may take on the disk, as a multiple of its bytes: the log, the table, the vector file."""


SMALL_SHARE = 8
"""A group that takes less than this part of the reserve, and does not fit, means that the disk is full."""

BUSY_MILLISECONDS = 100
USUAL_BUSY_MILLISECONDS = 5000


class Room:
    """Decides whether documents can be taken in. Writer thread."""

    def __init__(
        self,
        folder: DataFolder,
        states: Mapping[int, CollectionState],
        changed: Callable[[str], None],
        *,
        reserve_bytes: int,
    ) -> None:
        """`changed` is told why the disk refuses writes, or with an empty text that it does no longer."""
        self._folder = folder
        self._states = states
        self._changed = changed
        self._reserve = reserve_bytes
        self._refused = 0
        self.full = ""

    def refuse(self, puts: list[PutDocument], connection: apsw.Connection | None) -> RagError | None:
        """Make room for documents, or say why there is none."""
        if (error := self._check_disk(connection, sum(map(_bytes_of, puts)))) is not None:
            return error
        rows: Counter[int] = Counter()
        for put in puts:
            if put.document.vectors is not None:
                rows[put.collection.id] += len(put.document.vectors)
        for collection, count in rows.items():
            state = self._states.get(collection)
            if state is None or state.fault:
                continue
            try:
                state.index.reserve(count, room=self._folder.free_bytes() - self._reserve // 2)
            except StorageFull as error:
                return error
        return None

    def look_again(self, connection: apsw.Connection) -> None:
        """Find out whether a full disk has room again."""
        if self.full:
            self._check_disk(connection, self._refused)

    def spare_bytes(self) -> int:
        """Bytes that copies, which can wait, may take without documents being refused. Any thread."""
        return self._folder.free_bytes() - self._reserve

    def _check_disk(self, connection: apsw.Connection | None, wanted: int) -> RagError | None:
        free = self._folder.free_bytes()
        if free > self._reserve + LOG_FACTOR * wanted:
            self._say("")
            return None
        inside = 0 if connection is None else _tidied(connection)
        free = self._folder.free_bytes()
        if free > self._reserve + wanted or (
            free > self._reserve // 2 and inside > LOG_FACTOR * wanted + self._reserve
        ):
            self._say("")
            return None
        reason = (
            f"{free // 2**20} MiB are free on the disk, {self._reserve // 2**20} MiB are kept for deletions"
        )
        # A large group that does not fit says nothing of smaller ones: it alone is refused.
        self._refused = min(wanted, self._reserve // SMALL_SHARE)
        if free <= self._reserve + self._refused:
            self._say(reason)
        return StorageFull(f"no room for documents: {reason}")

    def _say(self, reason: str) -> None:
        if bool(reason) != bool(self.full):
            if reason:
                log.error("storage_full", reason=reason)
            else:
                log.info("storage_has_room")
            self.full = reason
            self._changed(reason)


def _tidied(connection: apsw.Connection) -> int:
    """Cut the log, which may hold much room that it does not need; return the bytes of free pages.

    Readers can hold that up, and a disk that fails can prevent it: then what is free is what is free.
    """
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        return int(str(connection.pragma("freelist_count"))) * PAGE_SIZE
    except apsw.Error as error:
        log.warning("checkpoint_failed", error=str(error))
        return 0
    finally:
        connection.set_busy_timeout(USUAL_BUSY_MILLISECONDS)


def _bytes_of(put: PutDocument) -> int:
    document = put.document
    vectors = 0 if document.vectors is None else document.vectors.nbytes
    chunks = sum(64 + 4 * len(chunk.text) for chunk in document.chunks)
    return 512 + len(document.text.encode()) + len(document.packed_metadata) + vectors + chunks

"""Room for what is to be written: on the disk, in the vector files, and in the tails.

Ingest stops while less than a reserve is free, because SQLite needs room to delete,
and a disk that is full to the last byte could not be emptied again. Free pages
inside the database count as room: they are what deletions leave. What stands in the
write-ahead log alone does not, though it is on the disk already: the database grows by
it before the log can be cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import apsw
import structlog

from rag_grpc.core.errors import RagError, StorageFull
from rag_grpc.core.models import PutDocument
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.database import PAGE_SIZE, tidied
from rag_grpc.stores.embedded.dense_index import DenseIndex
from rag_grpc.stores.embedded.folder import DataFolder

log = structlog.get_logger(__name__)

LOG_FACTOR = 3
"""What a document may take on the disk, as a multiple of its bytes: the log, the table, the vector file."""


SMALL_SHARE = 8
"""A group that takes less than this part of the reserve, and does not fit, means that the disk is full."""


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
                state.index.reserve(count, room=self._free(connection) - self._reserve // 2)
            except StorageFull as error:
                return error
        return None

    def make_room(self, connection: apsw.Connection, index: DenseIndex, rows: int, size: int) -> None:
        """See to room for `rows` vectors of `size` bytes in an index and the database. Raises StorageFull."""
        if (error := self._check_disk(connection, size)) is not None:
            raise error
        index.reserve(rows, room=self._free(connection) - self._reserve // 2)

    def look_again(self, connection: apsw.Connection) -> None:
        """Find out whether a full disk has room again."""
        if self.full:
            self._check_disk(connection, self._refused)

    def spare_bytes(self) -> int:
        """Bytes that copies, which can wait, may take without documents being refused. Any thread."""
        return self._folder.free_bytes() - self._folder.log_bytes() - self._reserve

    def _free(self, connection: apsw.Connection | None) -> int:
        """Return what is free when the log has been emptied into the database, which grows by that."""
        free = self._folder.free_bytes()
        if connection is not None:
            pages = int(str(connection.pragma("page_count")))
            free -= max(0, pages * PAGE_SIZE - self._folder.database.stat().st_size)
        return free

    def _check_disk(self, connection: apsw.Connection | None, wanted: int) -> RagError | None:
        free = self._free(connection)
        if free > self._reserve + LOG_FACTOR * wanted:
            self._say("")
            return None
        inside = 0 if connection is None else tidied(connection)
        free = self._free(connection)
        if free > self._reserve + wanted or (
            free > self._reserve // 2 and inside > LOG_FACTOR * wanted + self._reserve
        ):
            self._say("")
            return None
        left, kept = max(0, free) // 2**20, self._reserve // 2**20
        reason = f"{left} MiB are free on the disk, {kept} MiB are kept for deletions"
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


def _bytes_of(put: PutDocument) -> int:
    document = put.document
    vectors = 0 if document.vectors is None else document.vectors.nbytes
    chunks = sum(64 + 4 * len(chunk.text) for chunk in document.chunks)
    return 512 + len(document.text.encode()) + len(document.packed_metadata) + vectors + chunks

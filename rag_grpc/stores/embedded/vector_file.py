"""Every vector of a collection, flat on disk and memory-mapped, row = slot.

Exact comparison reads it from front to back, which is as fast as memory allows, and
the kernel may drop its pages when memory is short: the process's own memory holds
only the graph. hnswlib could give vectors back, but holds the GIL while it does.

Rows are appended by the writer thread alone and never moved or changed; a chunk
that dies keeps its slot, with the seq of its death beside it, until the index is
made anew. So a reader that took the arrays and a length needs no lock: what is
below the length is complete. Growing replaces the arrays and leaves the old ones to
those who still hold them; a death is then written to the new ones alone, which is
right, because only views older than that death can still hold the old ones.

Space is allocated before it is mapped: writing to a hole of a mapped file on a full
disk would kill the process with SIGBUS.
"""

from __future__ import annotations

import errno
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.errors import StorageFull

ALIVE = np.iinfo(np.int64).max
"""What `died` says of a chunk that lives: later than any seq."""

FIRST_CAPACITY = 256
GROWTH = 1.5

Ids: TypeAlias = NDArray[np.int64]
Rows: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Slots:
    """The arrays at one moment; `length` slots are complete.

    `rows` (capacity, dimension) float32, as they are compared (normalised where the metric is cosine);
    `ids`, `contents`, `died` (capacity,) int64: chunk id (rising), key of its content, seq of its death.
    """

    rows: Rows
    ids: Ids
    contents: Ids
    died: Ids
    length: int

    def slots_of(self, chunks: Ids) -> Ids:
        """Return the slots of chunk ids that are here; `length` or more for those that came later.

        A collection's ids follow each other until its index is made anew without what died. Then a
        subtraction is enough, where a search for each id reads a dozen places all over the array, which are
        in no cache after a search through a graph, and lets go of the GIL.
        """
        last = self.length - 1
        if last >= 0 and self.ids.item(last) - self.ids.item(0) == last:
            return chunks - self.ids.item(0)
        return np.searchsorted(self.ids[: self.length], chunks).astype(np.int64, copy=False)

    def alive(self, seq: int) -> NDArray[np.bool_]:
        """Say for each slot whether its chunk lives at `seq`."""
        return self.died[: self.length] > seq


class VectorFile:
    """Owns the file and the arrays beside it. Only one thread may change it."""

    def __init__(self, path: Path, dimension: int, *, capacity: int = FIRST_CAPACITY) -> None:
        """Make the file, in place of one of that name. Raises StorageFull."""
        self.path = path
        self.dimension = dimension
        self.dead = 0
        self._closed = False
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        empty = np.empty(0, dtype=np.int64)
        self._slots = Slots(np.empty((0, dimension), dtype=np.float32), empty, empty, empty, 0)
        try:
            self.reserve(capacity)
        except BaseException:
            self.close(remove=True)
            raise

    @property
    def slots(self) -> Slots:
        """The arrays as they are now."""
        return self._slots

    def reserve(self, rows: int, *, room: int | None = None) -> None:
        """See to it that `rows` more fit. Raises StorageFull, and changes nothing then.

        At most `room` bytes of the disk are taken: the file grows by what is needed, and by half of what it
        has only where that fits.
        """
        old = self._slots
        needed = old.length + rows
        if needed <= len(old.ids):
            return
        capacity = max(needed, int(len(old.ids) * GROWTH), FIRST_CAPACITY)
        row_bytes = self.dimension * 4
        if room is not None and (capacity - len(old.ids)) * row_bytes > room:
            capacity = needed
            if (capacity - len(old.ids)) * row_bytes > room:
                raise StorageFull("no room on the disk for the vectors")
        mapping = self._mapped(len(old.ids) * row_bytes, capacity * row_bytes)
        mapped = np.frombuffer(mapping, dtype=np.float32).reshape(capacity, self.dimension)
        self._slots = Slots(
            mapped,
            _grown(old.ids, old.length, capacity),
            _grown(old.contents, old.length, capacity),
            _grown(old.died, old.length, capacity),
            old.length,
        )

    def _mapped(self, old: int, size: int) -> mmap.mmap:
        """Allocate `size` bytes where there are `old`, and map them. Raises StorageFull."""
        # Open no longer than that takes: a mapping has a descriptor of its own, and collections are many.
        file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.posix_fallocate(file, 0, size)
            return mmap.mmap(file, size)
        except OSError as error:
            # Some file systems keep what they could allocate.
            os.ftruncate(file, old)
            if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise
            raise StorageFull("no room on the disk for the vectors") from error
        finally:
            os.close(file)

    def bytes_of_living(self) -> int:
        """Return what the rows that live take. Any thread."""
        return (self._slots.length - self.dead) * self.dimension * 4

    def append(self, ids: Ids, contents: Ids, vectors: Rows) -> None:
        """Append chunks: ids rise, and are above all that are here; `vectors` (n, dimension) as compared."""
        self.reserve(len(ids))
        old = self._slots
        end = old.length + len(ids)
        old.rows[old.length : end] = vectors
        old.ids[old.length : end] = ids
        old.contents[old.length : end] = contents
        old.died[old.length : end] = ALIVE
        self._slots = Slots(old.rows, old.ids, old.contents, old.died, end)

    def kill(self, first_chunk: int, count: int, seq: int) -> None:
        """Note that the chunks of one content, which have adjoining slots, died at `seq`."""
        slots = self._slots
        start = int(np.searchsorted(slots.ids[: slots.length], first_chunk))
        slots.died[start : start + count] = seq
        self.dead += count

    def close(self, *, remove: bool) -> None:
        """Let the file go, and `remove` it from the disk; arrays that are still held stay readable.

        Doing it twice is no error.
        """
        if self._closed:
            return
        self._closed = True
        if remove:
            self.path.unlink(missing_ok=True)


def _grown(array: Ids, length: int, capacity: int) -> Ids:
    larger = np.empty(capacity, dtype=np.int64)
    larger[:length] = array[:length]
    return larger

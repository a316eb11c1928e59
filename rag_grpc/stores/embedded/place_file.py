"""Where chunks stand, packed for the edge: what was read of it, by slot in a memory-mapped file.

Which document a chunk belongs to, its ordinal, offsets and headings never change, so what
was read of them once need not be asked of the database again, where ten hits cost as much as
the rest of a batched query. The file is a memory and no index: it begins empty with each
vector file, nothing has to follow a write or a start, and what it lacks (a chunk that no
search found yet, a place that is too long, all of them on a full disk) is read from the
database as ever. It lies on the disk so that its pages are the kernel's to drop.

Slots have one length, so that numpy takes those of a whole batch at once; as it strips
zero bytes from the end, an empty slot reads as b"" and no packed place may end with one.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

import numpy as np
import structlog
from numpy.typing import NDArray

log = structlog.get_logger(__name__)

SLOT_BYTES = 128
"""An id of 36 letters with offsets takes 50; the rest is for headings and for ids that are paths."""
LEFT_BYTES = 128 * 1024 * 1024
"""Of the disk, above what documents need: a few groups of them."""
PAUSE_SECONDS = 10.0
"""Between two looks whether a full disk has room."""


class PlaceFile:
    """Packed places by slot of one vector file. Any thread."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = monotonic) -> None:
        """Name the file, which is made with the first place that is remembered."""
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._places = np.empty(0, f"S{SLOT_BYTES}")
        self._refused_at = -PAUSE_SECONDS
        self._closed = False

    def known(self, slots: NDArray[np.int64]) -> list[bytes]:
        """Return what is remembered of some slots, b"" for those of which nothing is."""
        # Without the lock a place could be seen while it is half written: numpy lets go of the GIL.
        with self._lock:
            places = self._places
            if not len(slots) or int(slots.max()) < len(places):
                taken = places[slots]
            else:
                inside = slots < len(places)
                taken = np.zeros(len(slots), places.dtype)
                taken[inside] = places[slots[inside]]
        found: list[bytes] = taken.tolist()
        return found

    def remember(
        self, slots: Sequence[int], places: Sequence[bytes], capacity: int, spare_bytes: Callable[[], int]
    ) -> None:
        """Keep places by their slots, which are below `capacity`, if the disk has `spare_bytes` for them."""
        with self._lock:
            if len(self._places) < capacity and not self._grown(capacity, spare_bytes):
                return
            for slot, place in zip(slots, places, strict=True):
                if len(place) <= SLOT_BYTES:
                    self._places[slot] = place

    def _grown(self, capacity: int, spare_bytes: Callable[[], int]) -> bool:
        if self._closed or self._clock() - self._refused_at < PAUSE_SECONDS:
            return False
        size = capacity * SLOT_BYTES
        try:
            if spare_bytes() >= size - self._places.nbytes + LEFT_BYTES:
                self._places = np.frombuffer(self._mapped(size), self._places.dtype)
                return True
        except OSError as error:
            log.warning("places_not_kept", path=str(self.path), error=str(error))
        self._refused_at = self._clock()
        return False

    def _mapped(self, size: int) -> mmap.mmap:
        """Allocate what is mapped: writing to a hole on a full disk would end the process. Raises OSError."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, size)
            return mmap.mmap(file, size)
        except OSError:
            # Some file systems keep what they could allocate.
            os.ftruncate(file, self._places.nbytes)
            raise
        finally:
            os.close(file)

    def close(self, *, remove: bool) -> None:
        """Let the file go, and `remove` it from the disk. Doing it twice is no error."""
        with self._lock:
            self._closed = True
            if remove:
                self.path.unlink(missing_ok=True)

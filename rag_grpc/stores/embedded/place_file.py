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

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from rag_grpc.stores.embedded.spare_file import SpareFile

SLOT_BYTES = 128
"""An id of 36 letters with offsets takes 50; the rest is for headings and for ids that are paths."""


class PlaceFile:
    """Packed places by slot of one vector file. Any thread."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = monotonic) -> None:
        """Name the file, which is made with the first place that is remembered."""
        self._file = SpareFile(path, clock=clock)
        self._lock = threading.Lock()
        self._places = np.empty(0, f"S{SLOT_BYTES}")

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
        mapped = self._file.grown(capacity * SLOT_BYTES, spare_bytes)
        if mapped is not None:
            self._places = np.frombuffer(mapped, self._places.dtype)
        return mapped is not None

    def close(self, *, remove: bool) -> None:
        """Let the file go, and `remove` it from the disk. Doing it twice is no error."""
        with self._lock:
            self._file.close(remove=remove)

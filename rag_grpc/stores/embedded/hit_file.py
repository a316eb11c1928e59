"""Whole hits as the edge sends them, with text, title and metadata, remembered once they were read.

Reading ten rows, taking them apart and packing them takes as long as a good part of the
search that found them, and what is found often is found again. So the bytes of a hit are kept as
they were packed, in a ring: what comes last overwrites what came first, and the file never has
more than `MOST_BYTES`. Like `place_file` it is a memory and no index: it begins empty with
each vector file, and what it lacks is read from the database as ever. It lies on the disk so
that its pages are the kernel's to drop; one that was dropped is read while the GIL is held.

Metadata change while the chunk stays, so a hit is kept with the revision of its document, for
the views that are no older, and is forgotten before a view is published in which the document has
another one. Whoever read a row before that and comes with it afterwards is told by the *moment*,
which passes each time that something is forgotten.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from rag_grpc.stores.embedded.hit_rows import PackedRow
from rag_grpc.stores.embedded.spare_file import SpareFile

MOST_BYTES = 64 * 1024 * 1024
"""Of hits in a ring: 150,000 with short texts, 30,000 with texts of two thousand characters."""
FIRST_BYTES = 4 * 1024 * 1024
"""Of a ring that begins; it doubles until it is as large as it may be."""
LARGEST_HIT = 64 * 1024
"""Bytes. A larger one would overwrite a hundred others, and packing it is little beside sending it."""

_HEAD = np.dtype([("start", "<i8"), ("size", "<i8"), ("revision", "<i8")])
"""Where a slot's hit begins, counted from the first byte ever written, and its length: 0 where none is."""


class HitFile:
    """Packed hits by slot of one vector file. Any thread."""

    def __init__(
        self, path: Path, *, most_bytes: int = MOST_BYTES, clock: Callable[[], float] = monotonic
    ) -> None:
        """Name the file of the ring and, beside it, that of the heads; both are made with the first hit."""
        self._ring_file = SpareFile(path, clock=clock)
        self._heads_file = SpareFile(path.with_name(f"{path.name}-heads"), clock=clock)
        self._most = most_bytes
        # Files grow under a lock of their own: the writer thread, which forgets, must not wait for the disk.
        self._growing = threading.Lock()
        self._lock = threading.Lock()
        self._heads = np.empty(0, _HEAD)
        self._ring: mmap.mmap | None = None
        self._written = 0
        self._moment = 0

    @property
    def moment(self) -> int:
        """The number to take before rows are read, and to hand to `remember` with what was made of them."""
        return self._moment

    def known(self, slots: NDArray[np.int64], seq: int) -> list[bytes]:
        """Return the hits of some slots as of `seq`, b"" for those of which nothing is remembered.

        The slots differ, so that all of them together take no more than the ring.
        """
        with self._lock:
            ring, heads, most = self._ring, self._heads, self._most
            if ring is None or not len(slots):
                return [b""] * len(slots)
            if slots.max() < len(heads):
                taken = heads[slots]
            else:
                inside = slots < len(heads)
                taken = np.zeros(len(slots), _HEAD)
                taken[inside] = heads[slots[inside]]
            oldest = self._written - most
            # One by one, also for the 640 of a batch: by columns of numpy it took half as long again, and
            # three times as long for the ten of a query that comes alone.
            return [
                ring[(begin := start % most) : begin + size] if revision <= seq and start >= oldest else b""
                for start, size, revision in taken.tolist()
            ]

    def remember(
        self,
        hits: Mapping[int, PackedRow],
        capacity: int,
        spare_bytes: Callable[[], int],
        seq: int,
        *,
        moment: int,
    ) -> None:
        """Keep hits as of `seq` by their slots, which are below `capacity`, if the disk has `spare_bytes`.

        None is kept where something was forgotten since `moment`, since it may be one of them; nor one whose
        document has changed since `seq`.
        """
        kept = {
            slot: row for slot, row in hits.items() if row.revision <= seq and len(row.packed) <= LARGEST_HIT
        }
        if not kept:
            return
        with self._growing:
            self._grow(capacity, sum(len(row.packed) for row in kept.values()), spare_bytes)
        with self._lock:
            if moment != self._moment or len(self._heads) < capacity:
                return
            for slot, (packed, revision) in kept.items():
                self._keep(slot, packed, revision)

    def _keep(self, slot: int, packed: bytes, revision: int) -> None:
        begin, end = self._written % self._most, self._written % self._most + len(packed)
        if end > self._most:
            # No hit lies across the end.
            self._written += self._most - begin
            begin, end = 0, len(packed)
        # Where the ring could not grow, or is smaller than this one hit, there is no place for it.
        if self._ring is not None and end <= len(self._ring):
            self._ring[begin:end] = packed
            self._heads[slot] = (self._written, len(packed), revision)
            self._written += len(packed)

    def forget(self, spans: Iterable[tuple[int, int]]) -> None:
        """Remember nothing of these slots, from one to before another: their documents have new versions."""
        with self._lock:
            self._moment += 1
            for begin, end in spans:
                self._heads["size"][begin:end] = 0

    def _grow(self, capacity: int, size: int, spare_bytes: Callable[[], int]) -> None:
        """Have heads for `capacity` slots, and a ring with `size` bytes more, as far as may be."""
        if len(self._heads) < capacity:
            mapped = self._heads_file.grown(capacity * _HEAD.itemsize, spare_bytes)
            if mapped is None:
                return
            with self._lock:
                self._heads = np.frombuffer(mapped, _HEAD)
        while (have := self._ring_file.size) < min(self._most, self._written + size):
            mapped = self._ring_file.grown(min(self._most, max(FIRST_BYTES, 2 * have)), spare_bytes)
            with self._lock:
                if mapped is not None:
                    self._ring = mapped
                elif have:
                    # What there is becomes the ring, for good: places are counted by its length.
                    self._most = have
                else:
                    return

    def close(self, *, remove: bool) -> None:
        """Let the files go, and `remove` them from the disk. Doing it twice is no error."""
        with self._growing:
            self._ring_file.close(remove=remove)
            self._heads_file.close(remove=remove)

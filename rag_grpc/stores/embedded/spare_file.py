"""A memory-mapped file that takes of the disk what documents leave, and can be done without.

Space is allocated before it is mapped: writing to a hole of a mapped file on a full disk
would kill the process with SIGBUS. Where the disk has no room to spare, or fails, the file stays
as it is for a while, and whoever wanted it larger goes on without.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import structlog

log = structlog.get_logger(__name__)

LEFT_BYTES = 128 * 1024 * 1024
"""Of the disk, above what documents need: a few groups of them."""
PAUSE_SECONDS = 10.0
"""Between two looks whether a full disk has room."""


class SpareFile:
    """A file that grows where it may. One thread at a time."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = monotonic) -> None:
        """Name the file, which is made when it first grows."""
        self.path = path
        self.size = 0
        self._clock = clock
        self._refused_at = -PAUSE_SECONDS
        self._closed = False

    def grown(self, size: int, spare_bytes: Callable[[], int]) -> mmap.mmap | None:
        """Make the file `size` bytes long and map it, if the disk has `spare_bytes` for that; else None.

        What was mapped before stays what it was, and readable, for those who hold it.
        """
        if self._closed or self._clock() - self._refused_at < PAUSE_SECONDS:
            return None
        try:
            if spare_bytes() >= size - self.size + LEFT_BYTES:
                mapped = self._mapped(size)
                self.size = size
                return mapped
        except OSError as error:
            log.warning("hits_not_kept", path=str(self.path), error=str(error))
        self._refused_at = self._clock()
        return None

    def _mapped(self, size: int) -> mmap.mmap:
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, size)
            return mmap.mmap(file, size)
        except OSError:
            # Some file systems keep what they could allocate.
            os.ftruncate(file, self.size)
            raise
        finally:
            os.close(file)

    def close(self, *, remove: bool) -> None:
        """Let the file grow no more, and `remove` it from the disk. Doing it twice is no error."""
        self._closed = True
        if remove:
            self.path.unlink(missing_ok=True)

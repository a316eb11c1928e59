"""A memory-mapped file that takes of the disk what documents leave, and can be done without.

Space is allocated before it is mapped: writing to a hole of a mapped file on a full disk
would kill the process with SIGBUS. (That holds where a block that was written once can be written
again without a new one, as on ext4, XFS and tmpfs; on a full disk of a file system that copies on
write it may not.) Where the disk has no room to spare, or fails, the file stays as it is for a while,
and whoever wanted it larger goes on without.
"""

from __future__ import annotations

import errno
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
        making = 0 if self.size else os.O_CREAT
        file = os.open(self.path, os.O_RDWR | making | os.O_CLOEXEC, 0o600)
        try:
            _check_whole(file, self.size)
            os.posix_fallocate(file, 0, size)
            return mmap.mmap(file, size)
        except OSError:
            # Some file systems keep what they could allocate.
            os.ftruncate(file, min(self.size, os.fstat(file).st_size))
            raise
        finally:
            os.close(file)

    def close(self, *, remove: bool) -> None:
        """Let the file grow no more, and `remove` it from the disk. Doing it twice is no error."""
        self._closed = True
        if remove:
            self.path.unlink(missing_ok=True)


def _check_whole(file: int, size: int) -> None:
    """Raise OSError where a file is shorter than it was made: growing it would put zeros in their place."""
    if os.fstat(file).st_size < size:
        raise OSError(errno.EIO, "the file became shorter")

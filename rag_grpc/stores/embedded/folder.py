"""The data folder: what lies where, and who may touch it.

    <folder>/lock                       held by the one process that serves the folder
    <folder>/rag.sqlite3 (-wal, -shm)   the truth
    <folder>/indexes/<collection id>/   copies, each of which can be deleted at any time
        vectors-<n>.f32                 every vector, flat, memory-mapped; made anew at each start
        vectors-<n>.places              where hits stand, as far as it is known; likewise
        vectors-<n>.hits (-heads)       hits as they were sent, the latest of them; likewise
        snapshot-<seq>/ (-<n>)          the graph as it was at that seq
        making-*/, removing-*/          a snapshot that is not finished, or not gone
        lexical-<n>/                    the index of words; the newest that is whole

One process a folder, because SQLite wants one writer that also checkpoints, and the
graphs live in that process's memory. flock() is released by the kernel however the
process ends, so a killed server leaves nothing to clean up by hand.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import Final

from rag_grpc.core.errors import NotConfigured

_STRAYS: Final = ("making", "removing", "vectors")
"""What of a collection's folder no start can use."""


class DataFolder:
    """Paths below one data folder, and its lock."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is touched before `lock`."""
        self.path = path
        self.database = path / "rag.sqlite3"
        self.indexes = path / "indexes"
        self._lock_file: int | None = None

    def lock(self) -> None:
        """Make the folder where it is missing and take its lock.

        Raises NotConfigured where another process has it, or where it cannot be written.
        """
        try:
            self.indexes.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NotConfigured(f"the data folder {self.path} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise NotConfigured(f"the data folder {self.path} is in use by another server") from error
        self._lock_file = handle

    def unlock(self) -> None:
        """Give the lock back; doing it twice is no error."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def index_folder(self, collection_id: int) -> Path:
        """Name, and make where missing, the folder of a collection's indexes."""
        folder = self.indexes / str(collection_id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def new_vector_file(self, collection_id: int) -> Path:
        """Name a vector file that does not exist yet."""
        folder = self.index_folder(collection_id)
        return folder / f"vectors-{time.monotonic_ns()}.f32"

    def remove_index_folder(self, collection_id: int) -> None:
        """Remove all copies of a collection; what is mapped stays readable until it is let go."""
        shutil.rmtree(self.indexes / str(collection_id), ignore_errors=True)

    def remove_strays(self, live: set[int]) -> None:
        """Remove what a killed process left: indexes of no collection, unfinished files."""
        for folder in self.indexes.iterdir():
            if not folder.name.isdigit() or int(folder.name) not in live:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            for stray in (each for kind in _STRAYS for each in folder.glob(f"{kind}-*")):
                if stray.is_dir():
                    shutil.rmtree(stray, ignore_errors=True)
                else:
                    stray.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Bytes that this process may still write on the folder's disk."""
        stat = os.statvfs(self.path)
        return stat.f_bavail * stat.f_frsize

    def log_bytes(self) -> int:
        """Bytes of the write-ahead log."""
        try:
            return self.database.with_name(f"{self.database.name}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def used_bytes(self) -> int:
        """Bytes of the database's files."""
        files = (self.path / f"{self.database.name}{suffix}" for suffix in ("", "-wal", "-shm"))
        return sum(file.stat().st_size for file in files if file.exists())

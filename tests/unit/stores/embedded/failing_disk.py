"""A disk that fails when it is told to, below SQLite and above the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import apsw


class FailingDisk(apsw.VFS):
    """A VFS over the default one. From operation number `fails_from` on, each raises `error`.

    Operations are writes, syncs and truncations of the database and its log, counted in `operations`.
    `fails_until` is the first that works again; None means that nothing does until `heal`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name, "")
        self.operations = 0
        self.failures = 0
        self.error: Callable[[str], Exception] = apsw.FullError
        self.fails_from: int | None = None
        self.fails_until: int | None = None
        self.kinds: frozenset[str] = frozenset({"write", "sync", "truncate"})

    def break_at(
        self, number: int, error: Callable[[str], Exception], *kinds: str, until: int | None = None
    ) -> None:
        """Count from 0 again, and fail from that operation on."""
        self.operations, self.failures = 0, 0
        self.fails_from, self.fails_until, self.error = number, until, error
        self.kinds = frozenset(kinds) if kinds else frozenset({"write", "sync", "truncate"})

    def heal(self) -> None:
        """Work again."""
        self.fails_from = None

    def count(self, kind: str) -> None:
        """Take note of an operation, and fail it where its time has come."""
        if kind not in self.kinds:
            return
        number = self.operations
        self.operations += 1
        begun = self.fails_from is not None and number >= self.fails_from
        if begun and (self.fails_until is None or number < self.fails_until):
            self.failures += 1
            raise self.error(f"the disk fails at operation {number}, a {kind}")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  # SQLite's name
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        super().__init__("", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self._disk.count("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.count("sync")
        super().xSync(flags)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.count("truncate")
        super().xTruncate(newsize)


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what happens in threads and on disk, where no event tells of it."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.01)

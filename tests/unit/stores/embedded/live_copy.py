"""Copies of the folder of a store that is at work, as a kill would leave it."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

PATIENCE = 20.0
"""Seconds within which a store that is asked nothing comes to rest."""


async def copy_as_killed(source: Path, target: Path) -> None:
    """Copy a folder in a moment in which its store's threads write nothing.

    Files that are copied one after the other while they change are of several moments, which no kill leaves.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            before = _files(source)
            with suppress(OSError):  # a file that went while the folder was copied
                shutil.copytree(source, target)
                if _files(source) == before:
                    return
            shutil.rmtree(target, ignore_errors=True)
            await asyncio.sleep(0.01)


def _files(folder: Path) -> dict[Path, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            stat = path.stat()
            found[path] = (stat.st_size, stat.st_mtime_ns)
    return found

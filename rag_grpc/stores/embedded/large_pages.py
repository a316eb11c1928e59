"""Large pages for graphs.

A walk through a graph reads a few hundred bytes here and there, all over its memory. With
pages of 4 KiB nearly each of these reads first looks its page up in memory as well; with
pages of 2 MiB the processor keeps those of a whole graph at hand. Linux gives them to who
asks for them (`transparent_hugepage` is `madvise` as a rule); hnswlib does not ask, and
does not tell where its memory is. But it is one allocation, so large that malloc maps it
on its own: the mappings that are as large as the graph are it, or another graph.

An operator turns it off by `never` in /sys/kernel/mm/transparent_hugepage/enabled.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, Final

LEAST_BYTES: Final = 16 << 20
"""Smaller graphs gain nothing: a processor keeps so many small pages at hand."""

PIECE_BYTES: Final = 2 << 20
"""A large page, which takes some 3 ms to make of small ones. All of 800 MB at once had searches wait for up
to 200 ms."""

_HUGEPAGE: Final = 14
_COLLAPSE: Final = 25
"""Advice of Linux's madvise: give large pages from now on (2.6.38); make them of what is there (6.1)."""
_MAPS: Final = Path("/proc/self/maps")


def ask_for_large_pages(least: int, *, filled: bool = False, go_on: Callable[[], bool] = lambda: True) -> int:
    """Ask that memory mapped in pieces of at least `least` bytes has large pages; return for how many.

    `filled` has what is in them moved there now, piece by piece, with a rest after each for whoever reads
    it meanwhile and has to wait, while `go_on` says so; otherwise only what is not in use yet gets them.
    Nothing comes of it where the system has none.
    """
    madvise = _madvise()
    if madvise is None or least < LEAST_BYTES:
        return 0
    asked = 0
    for start, size in _mappings(least):
        asked += madvise(start, size, _HUGEPAGE) == 0
        if filled:
            _collapse(madvise, start, size, go_on)
    return asked


def _collapse(madvise: Any, start: int, size: int, go_on: Callable[[], bool]) -> None:
    # Only what is whole between two bounds of large pages can be one.
    first, end = -(-start // PIECE_BYTES) * PIECE_BYTES, start + size
    for place in range(first, end - PIECE_BYTES + 1, PIECE_BYTES):
        if not go_on():
            return
        began = perf_counter()
        madvise(place, PIECE_BYTES, _COLLAPSE)
        sleep(perf_counter() - began)


@cache
def _madvise() -> Any:
    if not _MAPS.exists():
        return None
    try:
        function = ctypes.CDLL(None).madvise
    except (AttributeError, OSError, TypeError):
        return None
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function


def _mappings(least: int) -> Iterator[tuple[int, int]]:
    """Give the places and sizes of memory that is mapped for us alone, and of no file."""
    for line in _MAPS.read_text().splitlines():
        places, access, _, _, inode, *name = line.split()
        start, end = (int(place, 16) for place in places.split("-"))
        if (
            access == "rw-p"
            and inode == "0"
            and (not name or name[0].startswith("[anon"))
            and end - start >= least
        ):
            yield start, end - start

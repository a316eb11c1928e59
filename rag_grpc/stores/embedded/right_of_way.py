"""Searches go first where threads want the GIL.

Python gives the GIL to whoever waits, in no order, and takes it from nobody before its
switch interval is over. A search lets go of it a dozen times, in the graph, in numpy, in SQLite, and
each time would wait for the writer thread, which has hundreds of documents to take
apart: 30 ms for what takes one. So the writer thread stops now and then, and while a
search waits or is under way, it stands still for a moment; no longer than it may stand, or
callers who always search would keep documents out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter, sleep
from typing import TypeVar

LONGEST_STOP = 0.004
"""Seconds. Searches take some 2 ms."""
LOOK_SECONDS = 0.0005
ROWS_BETWEEN_STOPS = 32
"""Documents that the writer thread takes apart between two stops: some 1 ms of each stage."""

_Row = TypeVar("_Row")


class RightOfWay:
    """Says whether searches are under way, and has others stand still for them."""

    def __init__(self, searching: Callable[[], bool]) -> None:
        """`searching` says whether a search waits or is under way. Any thread."""
        self.searching = searching

    def give(self) -> None:
        """Stand still while somebody searches. Any thread but the event loop's and those that search."""
        if not self.searching():
            return
        end = perf_counter() + LONGEST_STOP
        while self.searching() and perf_counter() < end:
            sleep(LOOK_SECONDS)

    def between(self, rows: Iterable[_Row]) -> Iterator[_Row]:
        """Go through rows, and give way now and then."""
        for number, row in enumerate(rows, 1):
            yield row
            if number % ROWS_BETWEEN_STOPS == 0:
                self.give()

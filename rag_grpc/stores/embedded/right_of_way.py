"""Searches go first where threads want the GIL.

Python gives the GIL to whoever waits, in no order, and takes it from nobody before its
switch interval is over. A search lets go of it a dozen times, in the graph, in numpy, in SQLite, and
each time would wait for the writer thread, which has hundreds of documents to take
apart: 30 ms for what takes one. So the writer thread stops now and then, and while a
search waits or is under way, it stands still for a moment. It works for a quarter as long before it
does so again, or callers who always search would keep documents out; for large batches, who
want a throughput as documents do, not at all. Never where it
holds what a search may wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter, sleep
from typing import TypeVar

LONGEST_STOP = 0.004
"""Seconds. Searches take some 2 ms."""
LEAST_WORK = 0.001
"""Seconds between two stops."""
LOOK_SECONDS = 0.0005
ROWS_BETWEEN_LOOKS = 32
"""Rows that the writer thread takes apart before it looks: some tenths of a millisecond."""

_Row = TypeVar("_Row")


class RightOfWay:
    """Has one thread stand still for searches."""

    def __init__(self, searching: Callable[[], bool]) -> None:
        """`searching` says whether a search waits or is under way that somebody waits milliseconds for."""
        self._searching = searching
        self._worked_from = 0.0

    def give(self) -> None:
        """Stand still while somebody searches. One thread, and none that searches wait for."""
        now = perf_counter()
        if now - self._worked_from < LEAST_WORK or not self._searching():
            return
        end = now + LONGEST_STOP
        while self._searching() and perf_counter() < end:
            sleep(LOOK_SECONDS)
        self._worked_from = perf_counter()

    def between(self, rows: Iterable[_Row]) -> Iterator[_Row]:
        """Go through rows, and give way now and then."""
        for number, row in enumerate(rows, 1):
            yield row
            if number % ROWS_BETWEEN_LOOKS == 0:
                self.give()

"""What a row takes to come into a graph: in the company of what else is at work, and by itself.

How many rows a slice may have is a matter of the first: it must end in time, whatever else
wants the processors. How long a start would take to put rows in again is one of the second:
nothing else is at work then. Under load they differ by a factor of three to six (100,000 x 384 on
two processors: 400 to 1,200 us a row beside a writer and searches, 200 by itself), and a
graph that was saved by the first was saved, with all that this costs searches and the disk,
after two to four seconds' worth of rows where its operator had allowed ten.

By itself is seen by the fastest slices, since load only ever adds: an expectile (Newey and
Powell, "Asymmetric Least Squares Estimation and Testing", 1987), which falls fast and rises
slowly, so that it follows rows as they become dearer while the graph grows. Where documents
come one at a time each slice is one row, and what a slice costs besides counts as that
row's: a graph is saved too often then rather than too seldom. Half of the threads are taken to
need twice as long, which is too much where two share a core: up to half too little.
"""

from __future__ import annotations

from typing import Final

FIRST_ROW_SECONDS: Final = 150e-6
_WEIGHT: Final = 0.1
_WEIGHT_ABOVE: Final = 0.005
"""Of ten rows that took longer than expected: a twentieth, so that about one slice in five is faster."""
_WEIGHED_ROWS: Final = 10
ROWS_A_THREAD: Final = 5
"""With fewer, hnswlib takes one thread."""


class GraphPace:
    """Seconds a row, of one graph. Index thread.

    `now` is the recent mean on the threads that slices had; `alone` on all of the `threads` that a graph may
    have, with nothing else at work.
    """

    def __init__(self, threads: int) -> None:
        """Begin with what a row of some hundred dimensions takes."""
        self._threads = threads
        self.now = self.alone = FIRST_ROW_SECONDS

    def note(self, seconds: float, rows: int, *, threads: int) -> None:
        """Learn that a slice, in which `rows` came into the graph, took so long on so many threads."""
        if not rows:
            return
        row = seconds / rows
        self.now += _WEIGHT * (row - self.now)
        row *= (threads if rows >= ROWS_A_THREAD * threads else 1) / self._threads
        weight = _WEIGHT if row < self.alone else _WEIGHT_ABOVE
        self.alone += (1 - (1 - weight) ** (rows / _WEIGHED_ROWS)) * (row - self.alone)

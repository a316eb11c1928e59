"""How many chunks may lie outside a graph, in the tail that every search compares one by one.

A tail costs searches, so writers wait for the graphs. But whoever only lengthens it
by a little need not wait until it is short: after a start that found an old snapshot,
a document of one chunk would wait for ten thousand others. The tail shrinks as long as
the graph takes more than writers bring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

START_VALUES: Final = 4_000_000
"""Numbers in a tail with which a store serves already, some milliseconds for a search: who waits for a
server that was killed is better served by slower answers at once."""
LEAD: Final = 2
"""Chunks that the graph must take for each that is written where the tail is too long, so that it shrinks."""


@dataclass(frozen=True, slots=True)
class TailBounds:
    """`rows` chunks are what a tail may have in any case."""

    rows: int

    def at_start(self, dimension: int) -> int:
        """Give what the tail of a collection may have when it begins to be served."""
        return max(self.rows, START_VALUES // dimension)

    def before_writing(self, tail: int, chunks: int) -> int:
        """Give what a tail that is so long now must have come down to before `chunks` are written."""
        return max(self.rows, tail - LEAD * chunks)

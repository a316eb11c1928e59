"""Which of the two tables holds a collection's vectors, and which embedder made them.

Another embedder's vectors are gathered in the other table, for as long as it takes; then
one number in the collection's row says that they count from now on. So hundreds of
thousands of vectors are swapped by changing one row, and what is left behind is purged
later, in slices.
"""

from __future__ import annotations

from dataclasses import dataclass

TABLES = ("embedding", "embedding_other")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two sides of a collection, and the fingerprint of the embedder whose vectors lie there."""

    number: int
    fingerprint: str

    @property
    def table(self) -> str:
        """The table that its vectors lie in."""
        return TABLES[self.number]

    def other(self, fingerprint: str) -> Side:
        """Return the other side, with the vectors of another embedder."""
        return Side(1 - self.number, fingerprint)

"""How good the answers were, over time: what was measured, and the port that remembers it.

Quality is measured now and then, by the canary at its interval and by whoever runs an
evaluation. A number alone says little: only beside last week's does it say that
something got worse. So measurements are kept, beside the documents, for 90 days.

Who measures each second makes millions of them in that time. So a series, which is a
collection, a measure and an origin, has a bound; beyond it the newest stay, and of what
is older one each hour: more points than a curve of 90 days has pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

KEPT = 90 * 24 * 3600 * 10**9
"""For how long measurements are kept, in nanoseconds: a release can be held to the one before."""


MOST: Final = 10_000
"""Measurements of a series. A canary that runs every 15 minutes, the default, makes 8,640 in KEPT."""
NEWEST: Final = 5_000
"""Of a series that has more than MOST, how many stay; with one of each hour before, 7,161 at most."""
HOUR: Final = 3600 * 10**9


class Origin(Enum):
    """Who measured."""

    CANARY = "canary"
    """The server itself, with the queries of its canary file: the same ones each time, so they compare."""
    EVALUATION = "evaluation"
    """A caller, with queries of his own: two of them compare only where he asked the same."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number: when (in nanoseconds since 1970), of which collection, what, and how much.

    The collection is a name: what was measured outlives it, and compares with one that takes its place.
    """

    time: int
    collection: str
    measure: str
    value: float
    origin: Origin = Origin.CANARY


def kind_of(measure: str) -> str:
    """Say what was measured where a number of this name came of it: measures of a kind are made together."""
    if measure.startswith("index_"):
        return "index"
    return measure if measure == "faithfulness" else "retrieval"


class QualityLog(Protocol):
    """Remembers what was measured. Everything is called on the event loop.

    Like its store, it must raise NotReady before `open` has returned and after `close` was called.
    *(embedded)* What was recorded survives the process being killed.
    """

    async def record(self, measurements: Sequence[Measurement]) -> None:
        """Keep measurements, all or none; values are finite.

        One of the same time, collection, measure and origin as another takes its place. What is older by
        more than KEPT than the newest of `measurements` must be forgotten. Of a collection, measure and
        origin that has more than MOST then, the NEWEST must stay, and of what is older the newest of each
        HOUR since 1970, and no other. Must raise StorageFull, StorageFault where they cannot be kept.
        """

    async def since(self, time: int) -> list[Measurement]:
        """Everything of that time and later, by time, then collection, measure and origin."""

    async def last(self) -> list[Measurement]:
        """The newest of each collection, measure and origin, in this order."""

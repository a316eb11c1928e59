"""Which collections may have something left to do, so that a group's work does not grow with their number.

Those that were noted, and now and then all of them: what waits for a search to end, for a
retry, or for something that nobody noted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Final

from rag_grpc.stores.embedded.collection_state import CollectionState

SWEEP_SECONDS_EACH: Final = 0.005
"""Between two looks at everything, for each collection: a look takes some ten microseconds."""


class Restless:
    """`note` may be called in any thread, `take` in one."""

    def __init__(
        self, states: Mapping[int, CollectionState], *, clock: Callable[[], float] = monotonic
    ) -> None:
        """`states` are the live collections, all of which are looked at first."""
        self._states = states
        self._clock = clock
        self._noted: deque[int] = deque()
        self._sweep_at = clock()

    def note(self, numbers: Iterable[int]) -> None:
        """Learn that these may have something to do."""
        self._noted.extend(numbers)

    def sweep(self) -> None:
        """Have all of them looked at next."""
        self._sweep_at = self._clock()

    def take(self) -> list[CollectionState]:
        """Return what is to be looked at now; what is not done then is to be noted again."""
        numbers: dict[int, None] = {}
        while self._noted:
            numbers[self._noted.popleft()] = None
        now = self._clock()
        if now >= self._sweep_at:
            states = list(self._states.values())
            self._sweep_at = now + SWEEP_SECONDS_EACH * len(states)
            return states
        return [self._states[number] for number in numbers if number in self._states]

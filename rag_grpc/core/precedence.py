"""Who goes first: calls that somebody waits for, and work that can wait.

Measuring asks the same threads and models as users do, and as many questions as it may.
So it takes turns. While nobody asks, some have theirs at once. Where somebody asked
lately, who may ask again at any moment, one at a time begins, when no user's query is
under way; or if there always is one, now and then. So it slows users down a little,
and still gets to its end.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

LARGE_BATCH = 32
"""Queries of one call from which on its caller waits for a throughput, and not for milliseconds."""
TURNS_AT_ONCE = 2
"""Four end a run hardly sooner (300 queries of SciFact on two processors: 1.5 s one by one, 1.2 s with two,
1.1 s with four) and double the times that it reports. A user's query that finds them under way waits for
no more than these."""
LONGEST_WAIT = 0.1
"""Seconds for which users keep a turn from beginning, if no other one is under way."""
LATELY = 1.0
"""Seconds. People, and programs that ask for them, pause for less between two queries."""


class Precedence:
    """Counts users' queries under way, and gives turns between them. Used on one event loop."""

    def __init__(
        self, *, at_once: int = TURNS_AT_ONCE, longest_wait: float = LONGEST_WAIT, lately: float = LATELY
    ) -> None:
        self._at_once = at_once
        self._longest_wait = longest_wait
        self._lately = lately
        self._last_left = -math.inf
        self._users = 0
        self._hurried = 0
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._clock: asyncio.TimerHandle | None = None

    @property
    def hurried(self) -> int:
        """Users' queries under way but for those of large batches, which lose little by some milliseconds."""
        return self._hurried

    def enter(self, queries: int) -> None:
        """Note that a user's call with so many queries begins. `leave` must follow."""
        self._users += queries
        self._hurried += queries if queries < LARGE_BATCH else 0

    def leave(self, queries: int) -> None:
        """Note that it ended."""
        self._users -= queries
        self._hurried -= queries if queries < LARGE_BATCH else 0
        self._last_left = monotonic()
        if self._waiting:
            self._admit()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, in the order of asking, and have it until the block ends."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._admit()
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():
                # It was given in the same moment.
                self._end()
            raise
        try:
            yield
        finally:
            self._end()

    def _end(self) -> None:
        self._running -= 1
        self._admit()

    def _admit(self) -> None:
        bound = 1 if monotonic() - self._last_left < self._lately else self._at_once
        while not self._users and self._running < bound and self._begin_next():
            pass
        if self._waiting and self._clock is None:
            self._clock = asyncio.get_running_loop().call_later(self._longest_wait, self._overdue)

    def _overdue(self) -> None:
        self._clock = None
        if not self._running:
            self._begin_next()
        self._admit()

    def _begin_next(self) -> bool:
        """Give the oldest that still waits its turn; False where none does."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                self._running += 1
                future.set_result(None)
                return True
        return False

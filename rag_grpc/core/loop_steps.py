"""Long work on the event loop, in steps: one for each round of the loop, over all calls.

Checking, converting and hashing a message of 200 documents takes the loop 6 ms, and twice as long
where other threads want the GIL. A query comes back to the loop three or four times, and each time
waited for whole messages of documents, of every stream that brought some. So such work goes in steps
of about a millisecond, and between two of them, whichever calls they are of, the loop looks at
everything else that is ready. `asyncio.sleep(0)` would not do: ten streams would take ten
steps a round.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rag_grpc.core.precedence import Precedence

STEP_ITEMS = 32
"""Documents of a whole step, if each has a vector and a short text: 0.4 ms of conversion, or of hashing."""
STEP_SIZE = 128 * 1024
"""Bytes or so that a step takes in."""
LONGEST_HOLD = 0.004
"""Seconds for which users' queries under way keep the next step from being taken, when a whole one was: those
of large batches do not."""
MOST_OWED = 64
"""Steps that are owed at most to those who were kept waiting longer than that, by a loop that was busy with
something else: they are taken without such a stop, one a round."""
LOOK_SECONDS = 0.001

_Item = TypeVar("_Item")


class LoopSteps:
    """Lets callers take steps, first come, first served. Used on one event loop."""

    def __init__(self, precedence: Precedence) -> None:
        self._precedence = precedence
        self._taken, self._taken_at = 0.0, 0.0
        self._owed, self._expected_at = 0.0, 0.0
        self._waiting: deque[tuple[asyncio.Future[None], float]] = deque()
        self._is_due = False

    async def next(self, share: float = 1.0) -> None:
        """Wait for the next round of the loop in which nobody else takes a step.

        `share` is how much of a whole step it is: small ones are held up together, and not each.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((future, share))
        if not self._is_due:
            self._is_due = True
            self._expected_at = loop.time()
            loop.call_soon(self._give)
        await future

    def _give(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._owe(now - self._expected_at)
        if self._is_held(now):
            self._expected_at = now + LOOK_SECONDS
            loop.call_later(LOOK_SECONDS, self._give)
            return
        if self._taken >= 1:
            self._taken, self._owed = 0.0, max(0.0, self._owed - 1)
        while self._waiting:
            future, share = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                self._taken, self._taken_at = self._taken + share, now
                break
        self._is_due = bool(self._waiting)
        if self._is_due:
            self._expected_at = now
            loop.call_soon(self._give)

    def _owe(self, late: float) -> None:
        """Note that the loop came so many seconds late. Where no query holds steps up, none is owed."""
        if not self._precedence.hurried:
            self._owed = 0.0
        elif late > LONGEST_HOLD:
            self._owed = min(MOST_OWED, self._owed + late / LONGEST_HOLD)

    def _is_held(self, now: float) -> bool:
        return (
            self._precedence.hurried > 0
            and self._taken >= 1
            and self._owed < 1
            and now - self._taken_at < LONGEST_HOLD
        )


def parted(items: Sequence[_Item], size: int) -> Iterator[tuple[Sequence[_Item], float]]:
    """Cut items, of so many bytes together and as if of one size, into parts and their shares of a step."""
    count = max(1, min(STEP_ITEMS, STEP_SIZE * len(items) // max(size, 1)))
    for begin in range(0, len(items), count):
        part = items[begin : begin + count]
        yield part, len(part) / count

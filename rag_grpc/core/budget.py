"""A bound on the bytes that are being worked on, for all callers together.

First come, first served: a large item is not overtaken for ever by small ones. An item
larger than the whole takes the whole, so that it is slow and not impossible.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rag_grpc.core.errors import NotReady


class ByteBudget:
    """Hands out up to `capacity` bytes at once. For one event loop."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._in_use = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def in_use(self) -> int:
        """Bytes handed out."""
        return self._in_use

    @property
    def waiting(self) -> int:
        """Callers that wait."""
        return sum(not granted.done() for _, granted in self._waiters)

    async def acquire(self, size: int) -> None:
        """Take `size` bytes, when everybody who came before has theirs."""
        size = min(size, self._capacity)
        if not self._waiters and self._in_use + size <= self._capacity:
            self._in_use += size
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((size, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._serve()
            else:
                # It was granted in the very turn of the loop in which the caller was cancelled.
                self.release(size)
            raise

    def release(self, size: int) -> None:
        """Give back what `acquire` of the same `size` took."""
        self._in_use -= min(size, self._capacity)
        self._serve()

    @asynccontextmanager
    async def hold(self, size: int, timeout: float | None = None) -> AsyncIterator[None]:  # noqa: ASYNC109 - NotReady, not TimeoutError
        """Take `size` bytes for the time of a block. Raises NotReady after `timeout` seconds of waiting."""
        try:
            async with asyncio.timeout(timeout):
                await self.acquire(size)
        except TimeoutError:
            raise NotReady("too much is being written at once; come back later") from None
        try:
            yield
        finally:
            self.release(size)

    def _serve(self) -> None:
        while self._waiters:
            size, granted = self._waiters[0]
            if not granted.done():
                if self._in_use + size > self._capacity:
                    return
                self._in_use += size
                granted.set_result(None)
            self._waiters.popleft()

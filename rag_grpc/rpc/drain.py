"""The moment at which the server begins to drain, for those who hold a call open.

A stream of documents may last for hours, longer than any grace. Its servicer
watches this, stops reading, answers what it has read and ends with NOT_READY,
so that the caller reconnects elsewhere and sends what was not answered.
"""

from __future__ import annotations

import asyncio


class Drain:
    """Begins once and never ends. Everything is called on the server's event loop."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    def begun(self) -> bool:
        """Whether the server drains."""
        return self._begun.is_set()

    def begin(self) -> None:
        """Wake all who wait. Calling it again changes nothing."""
        self._begun.set()

    async def wait(self) -> None:
        """Return when the drain has begun; cancel it freely."""
        await self._begun.wait()

"""Asking an endpoint from a thread: again where that may help, within the time that there is.

One question has so long in all, tries and pauses together, and one try half of it, so
that a connection that hangs is given up in time for another. Ports that block are served
through the package's asyncio face all the same, on a loop in a thread of its own: only that
ends a try at its time whatever the endpoint does, and at once when the server stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rag_grpc.openai_models.endpoint import Failure, times

T = TypeVar("T")


class Unusable(Exception):
    """An answer that came, but says something else than was asked."""


class GaveUp(Exception):
    """No try brought an answer that is of use. `failure` is what the last one met, None for an Unusable."""

    def __init__(self, what: str, failure: Failure | None = None) -> None:
        super().__init__(what)
        self.failure = failure

    def retry_after(self) -> float | None:
        """Say when a caller may try again; None where the same texts would fail again."""
        return self.failure.retry_after() if self.failure else None


async def ask_again(ask: Callable[[], Awaitable[T]], *, within: float, retries: int) -> T:
    """Ask until an answer comes, within so many seconds.

    Raises GaveUp, that says in words what happened, and how often.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    tries = 0
    while True:
        tries += 1
        try:
            async with asyncio.timeout_at(min(end, loop.time() + within / 2)):
                return await ask()
        except Unusable as error:
            raise GaveUp(f"gave an answer that is of no use: {error}") from None
        except Exception as error:
            failure = Failure.of(error)
            pause = failure.pause_after(tries)
            if not failure.passing or tries > retries or loop.time() + pause >= end:
                raise GaveUp(f"{failure.what}{times(tries)}", failure) from error
            await asyncio.sleep(pause)

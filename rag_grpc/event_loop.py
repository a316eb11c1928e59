"""Which event loop runs the server, and how late it is.

A late loop is the first sign of work that does not belong on it: every call waits
as long. So lateness is measured all the time, by a timer that notes how long after
its hour it was woken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

EventLoop = Literal["asyncio", "uvloop"]

INTERVAL = 0.5
"""Seconds between two looks."""


def run(main: Coroutine[Any, Any, int], kind: EventLoop) -> int:
    """Run `main` to its end on a new loop of that kind and return what it returns."""
    with asyncio.Runner(loop_factory=_factory(kind)) as runner:
        return runner.run(main)


async def watch_lag(record: Callable[[float], None]) -> None:
    """Tell `record` every half a second how many seconds the loop is late. Runs until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + INTERVAL
        await asyncio.sleep(INTERVAL)
        record(max(0.0, loop.time() - due))


def _factory(kind: EventLoop) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if kind == "asyncio":
        return None
    import uvloop  # noqa: PLC0415 # not there on every platform, and not wanted on every one

    return uvloop.new_event_loop

"""The line from the sidecar's threads to the event loop, which alone may say some things and do others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

LOOP_TIMEOUT = 2.0
"""Seconds in which the event loop must answer to be called alive."""


class LoopLine:
    """Made on the event loop, used from other threads."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    def ask(self, question: Callable[[], T]) -> T | None:
        """Have `question` answered on the loop; None where the loop is silent. What it raises is raised."""
        answer: Future[T] = Future()

        def give() -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(question())
                except BaseException as error:  # noqa: BLE001 # handed to the thread that waits
                    answer.set_exception(error)

        try:
            self.loop.call_soon_threadsafe(give)
        except RuntimeError:  # the loop is closed
            return None
        try:
            return answer.result(LOOP_TIMEOUT)
        except TimeoutError:
            answer.cancel()
            return None

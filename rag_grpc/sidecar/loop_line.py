"""The line from the sidecar's threads to the event loop, which alone may say some things and do others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from rag_grpc.core.errors import DeadlineExceeded, NotReady

T = TypeVar("T")

LOOP_TIMEOUT = 2.0
"""Seconds in which the event loop must answer to be called alive."""
READ_TIMEOUT = 10.0
"""Seconds that a short read may take."""


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

    def wait(self, begin: Callable[[], Coroutine[Any, Any, T]], seconds: float = READ_TIMEOUT) -> T:
        """Run a short read on the loop and give what it returns.

        Raises what it raises, DeadlineExceeded where it takes too long, NotReady where the server ends.
        """
        work = begin()
        try:
            running = asyncio.run_coroutine_threadsafe(work, self.loop)
        except RuntimeError:  # the loop is closed
            work.close()
            raise NotReady("the server has ended") from None
        try:
            return running.result(seconds)
        except CancelledError:
            raise NotReady("the server is draining") from None
        except TimeoutError:
            if running.done():
                raise
            raise DeadlineExceeded(f"there was no answer within {seconds:g} s") from None
        finally:
            running.cancel()

"""Work without the GIL, spread over the processors by threads that stay.

hnswlib can use several threads too, but makes them anew for each call: of a batch of 64
queries a quarter of the gain is lost to that, of one of 16 nearly all (measured on two
processors).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from rag_grpc.stores.embedded.vector_file import Rows

T = TypeVar("T")


class Processors:
    """The caller's own thread and `count - 1` others."""

    def __init__(self, count: int) -> None:
        self.count = count
        # Its threads are made when they are first wanted.
        self._others = ThreadPoolExecutor(max(1, count - 1), "knn")
        self._idle = threading.Semaphore(count - 1)

    def beside(self, work: Callable[[], T]) -> Callable[[], T]:
        """Begin `work` on another processor; the result is what the returned function gives, when it is done.

        Where none is idle, that function does the work itself. It must be called in any case: `work` may
        use what the caller holds.
        """
        if not self._idle.acquire(blocking=False):
            return work

        def run() -> T:
            try:
                return work()
            finally:
                self._idle.release()

        return self._others.submit(run).result

    def spread(self, work: Callable[[Rows], T], rows: Rows, *, least: int) -> list[T]:
        """Do `work` on parts of `rows`, of `least` rows or more, side by side; the results in their order."""
        parts = min(self.count, len(rows) // least)
        if parts < 2:  # noqa: PLR2004  # nothing to spread
            return [work(rows)]
        own, *theirs = np.array_split(rows, parts)
        futures = [self._others.submit(work, part) for part in theirs]
        try:
            first = work(own)
        finally:
            # They work under a lock of the caller's, so they have to be done when it lets go.
            results = [future.exception() or future.result() for future in futures]
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [first, *results]  # type: ignore[list-item]  # errors were raised

    def close(self) -> None:
        """End the threads."""
        self._others.shutdown()


ALONE = Processors(1)
"""For who has one batch of little work."""

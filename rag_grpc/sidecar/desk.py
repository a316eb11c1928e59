"""Where the page's calls wait for the event loop: few at once, none for long, none for nobody.

The core works on the event loop, a browser's request waits in a thread. A call is
refused while the server is not ready and where all places are taken, before any
work; it is cancelled when its time is over, when the browser hangs up and when the
server stops. Places are the page's own: it cannot crowd out callers of gRPC, nor
they the page.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any, TypeAlias

import structlog
from prometheus_client import CollectorRegistry, Histogram

from rag_grpc.core.errors import DeadlineExceeded, NotReady, RagError, RateLimited
from rag_grpc.core.ports import Telemetry
from rag_grpc.sidecar.loop_line import LoopLine
from rag_grpc.sidecar.problems import reason_of

log = structlog.get_logger(__name__)

PLACES = 4
"""Calls of the page at once: some people, each with a question."""
SECONDS = 60.0
"""A language model may take that long to write; a search takes milliseconds."""
LOOK_SECONDS = 0.1
"""How often it is seen whether anybody still waits."""
CALL_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Those of grpc_server_handling_seconds, so that both can be added up."""

Emit: TypeAlias = Callable[[Any], None]
Work: TypeAlias = Callable[[Emit], Coroutine[Any, Any, None]]
"""What a call does on the loop: it hands over what there is to send, piece by piece."""

_END = object()


class CallerLeft(ConnectionError):
    """Nobody waits for the answer any more."""


class Desk:
    """Runs the page's calls. Made on the event loop, called from the sidecar's threads.

    `not_ready` is called on the loop and gives the reason while nothing can be asked, "" otherwise.
    """

    def __init__(
        self,
        line: LoopLine,
        *,
        not_ready: Callable[[], str],
        telemetry: Telemetry,
        registry: CollectorRegistry,
        places: int = PLACES,
        seconds: float = SECONDS,
    ) -> None:
        self._line = line
        self._not_ready = not_ready
        self._telemetry = telemetry
        self._places = threading.BoundedSemaphore(places)
        self._seconds = seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._handling = Histogram(
            "rag_page_call_seconds", "How long the page's calls took, by how they ended.", ("call", "reason"),
            buckets=CALL_BUCKETS, registry=registry,
        )  # fmt: skip

    def pieces(self, call: str, work: Work, *, gone: Callable[[], bool]) -> Generator[Any, None, None]:
        """Run `work` on the loop and give what it emits, as it does. `gone` says whether the caller left.

        Raises RagError: what the work raised, RateLimited, NotReady or DeadlineExceeded; CallerLeft where
        nobody waits any more. Closing the iterator cancels the work.
        """
        began, reason = time.perf_counter(), "CANCELLED"
        try:
            with self._place():
                yield from self._emitted(work, gone)
            reason = "OK"
        except CallerLeft:
            raise
        except RagError as error:
            reason = reason_of(error)
            raise
        except Exception:
            reason = "INTERNAL"
            log.exception("page_call_failed", call=call)
            raise
        finally:
            seconds = time.perf_counter() - began
            self._handling.labels(call, reason).observe(seconds)
            log.info("page_call", call=call, reason=reason, ms=round(seconds * 1000, 3))

    async def close(self) -> None:
        """Cancel what runs, wait until it has ended, and take nothing more. Called on the loop."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            self._telemetry.turned_away("too_many_page_calls")
            raise RateLimited("the page answers as many calls as it may; try again", retry_after=1.0)
        try:
            yield
        finally:
            self._places.release()

    def _emitted(self, work: Work, gone: Callable[[], bool]) -> Iterator[Any]:
        emitted: queue.SimpleQueue[Any] = queue.SimpleQueue()
        running = self._started(work, emitted)
        # The loop keeps time itself; this is for one that is stuck.
        until = time.monotonic() + self._seconds + LOOK_SECONDS
        try:
            while True:
                try:
                    piece = emitted.get(timeout=LOOK_SECONDS)
                except queue.Empty:
                    if gone():
                        raise CallerLeft from None
                    if time.monotonic() > until:
                        raise _too_slow(self._seconds) from None
                    continue
                if piece is _END:
                    break
                yield piece
            running.result()
        except CancelledError:
            raise NotReady("the server is draining") from None
        finally:
            running.cancel()

    def _started(self, work: Work, emitted: queue.SimpleQueue[Any]) -> Future[None]:
        coroutine = self._within_bounds(work, emitted.put)
        try:
            running = asyncio.run_coroutine_threadsafe(coroutine, self._line.loop)
        except RuntimeError:  # the loop is closed
            coroutine.close()
            raise NotReady("the server has ended") from None
        running.add_done_callback(lambda _: emitted.put(_END))
        return running

    async def _within_bounds(self, work: Work, emit: Emit) -> None:
        reason = "the server is draining" if self._closed else self._not_ready()
        if reason:
            self._telemetry.turned_away("not_ready")
            raise NotReady(reason)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 # a coroutine that runs has one
        self._tasks.add(task)
        try:
            async with asyncio.timeout(self._seconds) as bound:
                await work(emit)
        except TimeoutError:
            if not bound.expired():
                raise
            raise _too_slow(self._seconds) from None
        finally:
            self._tasks.discard(task)


def _too_slow(seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"there was no answer within {seconds:g} s")

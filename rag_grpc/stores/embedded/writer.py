"""The one thread that writes: it takes all that waits, and has it committed together.

An fsync costs the same for one write as for a thousand, so what gathered while the
last group was committed makes the next one. There is no timer: a lone write does
not wait for company. Nobody is answered before COMMIT returned and the new views
were published.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import apsw
import structlog

from rag_grpc.core.errors import RagError, StorageFault
from rag_grpc.core.models import PutDocument, Write
from rag_grpc.stores.embedded.group_commit import GroupCommit
from rag_grpc.stores.embedded.store_thread import StoreThread

log = structlog.get_logger(__name__)

GROUP_WRITES = 1000
GROUP_BYTES = 32 * 1024 * 1024
DELIVERED_AT_ONCE = 128
"""Outcomes, each of which wakes who waits for it, before the event loop sees to other calls."""
HOUSEKEEPING_SECONDS = 1.0
HOUSEKEEPING_GROUPS = 16
"""Groups after which some housekeeping is done though writes wait, so that the dead do not pile up."""

Task: TypeAlias = Callable[[apsw.Connection], object]
"""Runs in the writer thread between two groups, with the writing connection outside a transaction."""


class _Entry(NamedTuple):
    """A write or a task, and who waits for it."""

    work: Write | Task
    future: asyncio.Future[object] | concurrent.futures.Future[object]


class Writer:
    """A queue and the thread that empties it."""

    def __init__(self, commits: GroupCommit, housekeep: Callable[[apsw.Connection], bool]) -> None:
        """`housekeep` is called when nothing waits, and says whether it left something to do."""
        self._commits = commits
        self._housekeep = housekeep
        self._waiting: deque[_Entry] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = StoreThread(target=self._run, name="writer")
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- event loop

    def start(self) -> None:
        """Begin to write."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def submit(self, work: Write | Task) -> asyncio.Future[object]:
        """Queue a write or a task; the future is its outcome. Cancelling it withdraws what was not begun."""
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        with self._wake:
            self._waiting.append(_Entry(work, future))
            self._wake.notify()
        return future

    def post(self, task: Task) -> concurrent.futures.Future[object]:
        """Queue a task, from any thread; the future's result is its result, or the error it ended with."""
        future: concurrent.futures.Future[object] = concurrent.futures.Future()
        with self._wake:
            self._waiting.append(_Entry(task, future))
            self._wake.notify()
        return future

    def stop(self) -> None:
        """Finish what waits, then end the thread. Blocks."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def waiting(self) -> int:
        """Writes that wait. Any thread."""
        return len(self._waiting)

    # -- writer thread

    def _run(self) -> None:
        groups = 0
        while True:
            group = self._next_group()
            if group is None:
                return
            if group:
                self._resolve(group, self._work(group))
                groups += 1
                if groups % HOUSEKEEPING_GROUPS == 0:
                    self._keep_house()

    def _next_group(self) -> list[_Entry] | None:
        """Wait for work, and keep house meanwhile; None at the end."""
        left_over = True
        while True:
            with self._wake:
                if not (self._waiting or self._stopping or left_over):
                    left_over = not self._wake.wait(timeout=HOUSEKEEPING_SECONDS)
                if self._waiting:
                    return self._take()
                if self._stopping:
                    return None
            left_over = self._keep_house()

    def _keep_house(self) -> bool:
        if self._commits.connection is None:
            self._commits.recover()
            return False
        if self._commits.doubtful and not self._commits.prove():
            return False
        try:
            return self._housekeep(self._commits.connection)
        except (apsw.Error, OSError) as error:
            log.warning("housekeeping_failed", error=str(error))
            self._commits.rollback()
            self._commits.tidy()
            return False

    def _take(self) -> list[_Entry]:
        """Take the next group: writes up to a bound, or one task alone."""
        group: list[_Entry] = []
        size = 0
        while self._waiting and len(group) < GROUP_WRITES and size < GROUP_BYTES:
            if callable(self._waiting[0].work):
                return group or [self._waiting.popleft()]
            entry = self._waiting.popleft()
            if not entry.future.cancelled():
                group.append(entry)
                size += _size_of(entry.work)
        return group

    def _work(self, group: list[_Entry]) -> list[object]:
        try:
            if callable(group[0].work):
                return [self._commits.run(group[0].work)]
            return list(self._commits.write([entry.work for entry in group if not callable(entry.work)]))
        except Exception as error:
            # A fault of ours must not end the thread, or every later write would wait for ever.
            log.exception("writer_failed", writes=len(group))
            self._commits.rollback()
            return [StorageFault(f"the writer failed: {type(error).__name__}")] * len(group)

    def _resolve(self, group: list[_Entry], results: list[object]) -> None:
        if isinstance(group[0].future, concurrent.futures.Future):
            group[0].future.set_result(results[0])
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_deliver, group, results)


def _deliver(group: list[_Entry], results: list[object], begin: int = 0) -> None:
    end = begin + DELIVERED_AT_ONCE
    if end < len(group):
        asyncio.get_running_loop().call_soon(_deliver, group, results, end)
    for entry, result in zip(group[begin:end], results[begin:end], strict=True):
        if entry.future.done():
            continue
        if isinstance(result, RagError):
            entry.future.set_exception(result)
        else:
            entry.future.set_result(result)


def _size_of(work: Write | Task) -> int:
    if not isinstance(work, PutDocument):
        return 256
    document = work.document
    vectors = 0 if document.vectors is None else document.vectors.nbytes
    return 512 + len(document.text) + len(document.packed_metadata) + vectors

"""The threads that search: a free one takes its share of what waits.

*Natural batching*: no timer, no batch size to tune. A lone query is taken at once,
alone; under load the queries that came in while a thread was busy are answered
together, which saves what a call into the graph, a hop between threads and a look
at the database cost. Exact scans take long, so they form batches of their own, and
none of the others waits behind one in the same batch.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter

import apsw
import numpy as np
import structlog

from rag_grpc.core.errors import NotReady, RagError, StorageFault
from rag_grpc.core.models import Hit, SearchResult, SearchStrategy
from rag_grpc.core.ports import Search, Telemetry
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.dense_search import comparable, search
from rag_grpc.stores.embedded.hit_rows import read_hits

log = structlog.get_logger(__name__)

BATCH_SEARCHES = 64

Result = SearchResult | RagError
Work = Callable[[apsw.Connection], object]


@dataclass(slots=True, eq=False)
class _Job:
    """Searches of one call; the future is resolved when all have a result."""

    searches: Sequence[Search]
    future: asyncio.Future[list[Result]]
    results: list[Result | None] = field(default_factory=list)
    missing: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Item:
    """One search of a job."""

    job: _Job
    place: int

    @property
    def search(self) -> Search:
        """The search itself."""
        return self.job.searches[self.place]


class SearchThreads:
    """A queue of searches and reads, and the threads that empty it, each with a reader of its own."""

    def __init__(
        self,
        open_reader: Callable[[], apsw.Connection],
        state_of: Callable[[Search], CollectionState],
        telemetry: Telemetry,
        *,
        threads: int,
        ef: int,
    ) -> None:
        """`state_of` finds a search's collection, or raises RagError; `ef` is the default breadth."""
        self._open_reader = open_reader
        self._state_of = state_of
        self._telemetry = telemetry
        self._ef = ef
        self._searches: deque[_Item] = deque()
        self._exact: deque[_Item] = deque()
        self._reads: deque[tuple[Work, asyncio.Future[object]]] = deque()
        # Only wakes: a condition variable would be Python code, on the event loop, for each query.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, name=f"search-{number}", daemon=True)
            for number in range(threads)
        ]
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to search."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Answer what waits and end the threads. Blocks."""
        self._stopping = True
        for _ in self._threads:
            self._wake.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    @property
    def waiting(self) -> int:
        """Searches that wait. Any thread."""
        return len(self._searches) + len(self._exact)

    # -- event loop

    def search(self, searches: Sequence[Search]) -> asyncio.Future[list[Result]]:
        """Queue the searches of one call."""
        future: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        job = _Job(searches, future, [None] * len(searches), len(searches))
        if not searches:
            future.set_result([])
            return future
        for place, each in enumerate(searches):
            (self._exact if each.dense.exact else self._searches).append(_Item(job, place))
        self._wake_up(len(searches))
        return future

    def read(self, work: Work) -> asyncio.Future[object]:
        """Run `work` with a reader, inside one read transaction: all that it reads is of one moment."""
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._reads.append((work, future))
        self._wake_up(1)
        return future

    def _wake_up(self, items: int) -> None:
        # With a wake for every thread in the queue, whoever would sleep next looks once more before it does.
        for _ in range(min(items, len(self._threads) - self._wake.qsize())):
            self._wake.put(None)

    # -- search threads

    def _run(self) -> None:
        reader = self._open_reader()
        try:
            while True:
                # What waits is looked at before and after each wake, so that no wake is needed for all of it.
                if not (self._reads or self._searches or self._exact):
                    if self._stopping:
                        return
                    self._wake.get()
                self._work(reader)
        finally:
            reader.close()

    def _work(self, reader: apsw.Connection) -> None:
        """Do one read or one batch, if another thread has left any."""
        try:
            work, future = self._reads.popleft()
        except IndexError:
            if batch := self._share():
                self._answer(reader, batch)
        else:
            self._read(reader, work, future)

    def _share(self) -> list[_Item]:
        """Take this thread's share of what waits; what nobody waits for any more is dropped."""
        waiting = self._searches or self._exact
        share = min(-(-len(waiting) // len(self._threads)), BATCH_SEARCHES)
        taken: list[_Item] = []
        with suppress(IndexError):  # another thread may be quicker
            while len(taken) < share:
                item = waiting.popleft()
                if not item.job.future.cancelled():
                    taken.append(item)
        return taken

    def _read(self, reader: apsw.Connection, work: Work, future: asyncio.Future[object]) -> None:
        if future.cancelled():
            return
        try:
            with reader:
                result = work(reader)
        except RagError as error:
            result = error
        except Exception as error:
            log.exception("read_failed")
            result = StorageFault(f"the read failed: {type(error).__name__}")
        self._call(_deliver, future, result)

    def _answer(self, reader: apsw.Connection, batch: list[_Item]) -> None:
        self._telemetry.batch("search", len(batch))
        answered: list[tuple[_Item, Result]] = []
        groups: dict[object, list[_Item]] = defaultdict(list)
        for item in batch:
            asked = item.search
            dense = asked.dense
            key = (asked.collection.id, asked.candidates, dense.ef, dense.exact, asked.parts)
            groups[key].append(item)
        for items in groups.values():
            try:
                answered += self._answer_group(reader, items)
            except RagError as error:
                answered += [(item, error) for item in items]
            except Exception as error:
                log.exception("search_failed", searches=len(items))
                fault = StorageFault(f"the search failed: {type(error).__name__}")
                answered += [(item, fault) for item in items]
        self._call(_settle, answered)

    def _answer_group(self, reader: apsw.Connection, items: list[_Item]) -> list[tuple[_Item, Result]]:
        """Answer searches of one collection that ask for the same; a stage takes all of them its time."""
        first = items[0].search
        with self._state_of(first).hold() as view:
            started = perf_counter()
            metric = first.collection.metric
            queries = comparable(np.stack([item.search.dense.vector for item in items]), metric)
            found = search(
                view.dense,
                queries,
                k=first.candidates,
                ef=first.dense.ef or self._ef,
                exact=first.dense.exact,
            )
            dense_seconds = perf_counter() - started
            selections = [
                item.search.select(each.candidates) for item, each in zip(items, found, strict=True)
            ]
            hits = read_hits(reader, selections, view.seq, first.parts)
        stages = {"dense": dense_seconds, "fetch": perf_counter() - started - dense_seconds}
        return [
            (item, _result(got, each.strategy, stages))
            for item, each, got in zip(items, found, hits, strict=True)
        ]

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


def _result(
    hits: tuple[Hit, ...] | StorageFault, strategy: SearchStrategy, stages: dict[str, float]
) -> Result:
    if isinstance(hits, StorageFault):
        log.error("search_rows_missing", error=hits.message)
        return hits
    return SearchResult(hits, strategy, stages)


def _deliver(future: asyncio.Future[object], result: object) -> None:
    if future.done():
        return
    if isinstance(result, RagError):
        future.set_exception(result)
    else:
        future.set_result(result)


def _settle(answered: list[tuple[_Item, Result]]) -> None:
    for item, result in answered:
        job = item.job
        job.results[item.place] = result
        job.missing -= 1
        if not job.missing and not job.future.done():
            job.future.set_result(
                [each if each is not None else NotReady("unanswered") for each in job.results]
            )

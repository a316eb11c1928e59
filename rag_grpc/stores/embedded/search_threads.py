"""The threads that search, and those that read.

*Natural batching*: no timer, no batch size to tune. A lone query is taken at once,
alone; under load the queries that came in while the thread was busy are answered
together, which saves what a call into the graph, a hop between threads and a look
at the database cost.

One thread answers all searches that go through a graph alone, and spreads
a large batch over every processor. A thread for each processor was slower by half: they
make small batches and stand in each other's way, and in the event loop's. Calls of many
searches have two of their own: one reads rows while the other is in the graph. What takes
longer (words, filters, exact scans) and reads have others, and no query waits behind them.
So has what has to commit words first, which costs a dozen fsyncs, and waits while the
writer thread takes words in: those who wait together are answered after one commit.
"""

from __future__ import annotations

import asyncio
import queue
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeAlias

import apsw
import structlog

from rag_grpc.core.errors import NotReady, RagError, StorageFault, WordsNotReady
from rag_grpc.core.ports import Telemetry
from rag_grpc.core.searches import Search
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.lexical_folder import LexicalFault
from rag_grpc.stores.embedded.placed_hits import Places
from rag_grpc.stores.embedded.processors import Processors
from rag_grpc.stores.embedded.store_thread import StoreThread
from rag_grpc.stores.embedded.view_search import Result, alike, answer

log = structlog.get_logger(__name__)

BATCH_SEARCHES = 64
QUICK_CACHE_KIB = 64 * 1024
"""Pages that the reader of searches through a graph keeps. The rows of hits lie all over the database: with a
quarter of it, reading them took twice as long at 100,000 chunks."""
LARGE_BATCH = 32
"""Searches of one call from which on they are not put among those of others."""
BATCH_THREADS = 2
"""Threads for such calls: while one is in the graph, which takes every processor and not the GIL, the other
reads rows and makes hits, which takes the GIL and one processor."""
SMALL_BATCH = 12
"""What a thread takes at once of searches through a graph, though it is more than its share: smaller batches
cost too much each."""

Work: TypeAlias = Callable[[apsw.Connection], object]


@dataclass(slots=True, eq=False)
class _Job:
    """Searches of one call; the future is resolved when all have a result."""

    future: asyncio.Future[list[Result]]
    results: list[Result | None]
    missing: int


class _Item(NamedTuple):
    """One search of a job."""

    job: _Job
    place: int
    search: Search


@dataclass(slots=True, eq=False)
class _Desk:
    """What some threads take their work from, and how they are woken."""

    threads: int
    least: int = 1
    searches: deque[_Item] = field(default_factory=deque)
    reads: deque[tuple[Work, asyncio.Future[object]]] = field(default_factory=deque)
    has_read: bool = False
    # Only wakes: a condition variable would be Python code, on the event loop, for each query.
    wake: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue)

    def wake_up(self, items: int) -> None:
        """Wake as many threads as there are new items for."""
        # With a wake for every thread in the queue, whoever would sleep next looks once more before it does.
        for _ in range(min(items, self.threads - self.wake.qsize())):
            self.wake.put(None)


class SearchThreads:
    """Queues of searches and reads, and the threads that empty them, each with a reader of its own."""

    def __init__(
        self,
        open_reader: Callable[[], apsw.Connection],
        state_of: Callable[[Search], CollectionState],
        telemetry: Telemetry,
        *,
        threads: int,
        ef: int,
        places: Places | None = None,
    ) -> None:
        """`state_of` finds a search's collection, or raises RagError; for `ef` and `places` see `answer`."""
        self._open_reader = open_reader
        self._state_of = state_of
        self._telemetry = telemetry
        self._processors = Processors(threads)
        self._answered = partial(answer, ef=ef, threads=self._processors, places=places)
        self._quick = _Desk(1, least=SMALL_BATCH)
        self._batches = _Desk(BATCH_THREADS, least=BATCH_SEARCHES)
        self._slow = _Desk(threads)
        self._words = _Desk(1)
        names = ("search", "batch", "read", "words")
        self._desks = tuple(zip((self._quick, self._batches, self._slow, self._words), names, strict=True))
        self._stopping = False
        self._threads = [
            StoreThread(target=self._run, args=(desk,), name=f"{name}-{number}")
            for desk, name in self._desks
            for number in range(desk.threads)
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
        for desk, _ in self._desks:
            for _ in range(desk.threads):
                desk.wake.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._processors.close()

    @property
    def waiting(self) -> int:
        """Searches that wait. Any thread."""
        return sum(len(desk.searches) for desk, _ in self._desks)

    # -- event loop

    def search(self, searches: Sequence[Search]) -> asyncio.Future[list[Result]]:
        """Queue the searches of one call."""
        future: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        count = len(searches)
        if not count:
            future.set_result([])
            return future
        job = _Job(future, [None] * count, count)
        quick = self._quick if count < LARGE_BATCH else self._batches
        desks = set()
        for place, search in enumerate(searches):
            desk = self._desk_of(search, quick)
            desk.searches.append(_Item(job, place, search))
            desks.add(desk)
        for desk in desks:
            desk.wake_up(len(desk.searches))
        return future

    def _desk_of(self, search: Search, quick: _Desk) -> _Desk:
        if search.lexical is not None and self._lacks_words(search):
            return self._words
        return self._slow if _takes_long(search) else quick

    def _lacks_words(self, search: Search) -> bool:
        """Say whether words would have to be committed first, as far as can be known now."""
        try:
            words = self._state_of(search).view.lexical
        except RagError:
            return False
        return words is not None and not words.whole

    def read(self, work: Work) -> asyncio.Future[object]:
        """Run `work` with a reader, inside one read transaction: all that it reads is of one moment."""
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._slow.reads.append((work, future))
        self._slow.wake_up(1)
        return future

    # -- threads

    def _run(self, desk: _Desk) -> None:
        reader = self._open_reader()
        if desk is self._quick or desk is self._batches:
            reader.pragma("cache_size", -QUICK_CACHE_KIB)
        try:
            while True:
                # What waits is looked at before and after each wake, so that no wake is needed for all of it.
                if not (desk.reads or desk.searches):
                    if self._stopping:
                        return
                    desk.wake.get()
                self._work(desk, reader)
        finally:
            reader.close()

    def _work(self, desk: _Desk, reader: apsw.Connection) -> None:
        """Do one read or one batch, in turns: else searches would wait for as long as reads keep coming."""
        if desk.reads and not (desk.has_read and desk.searches):
            desk.has_read = True
            with suppress(IndexError):
                self._read(reader, *desk.reads.popleft())
            return
        desk.has_read = False
        if batch := _share(desk):
            self._answer(reader, batch)

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
        groups: dict[object, list[_Item]] = defaultdict(list)
        for item in batch:
            groups[alike(item.search)].append(item)
        for items in groups.values():
            answered = list(zip(items, self._answer_group(reader, items), strict=True))
            # Each group when it is done: the next one may take long.
            self._call(_settle, answered)

    def _answer_group(self, reader: apsw.Connection, items: list[_Item]) -> Sequence[Result]:
        searches = [item.search for item in items]
        try:
            with self._state_of(searches[0]).hold(words=searches[0].lexical is not None) as view:
                return self._answered(reader, view, searches)
        except RagError as error:
            return [error] * len(items)
        except LexicalFault as error:
            log.error("lexical_index_failed", collection=searches[0].collection.name, error=str(error))  # noqa: TRY400
            self._state_of(searches[0]).withdraw_lexical("it could not be read")
            return [WordsNotReady()] * len(items)
        except Exception as error:
            log.exception("search_failed", searches=len(items))
            return [StorageFault(f"the search failed: {type(error).__name__}")] * len(items)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


def _takes_long(search: Search) -> bool:
    # Words may have to be committed first, and filters and exact scans compare many vectors.
    dense = search.dense
    return search.filter is not None or search.lexical is not None or (dense is not None and dense.exact)


def _share(desk: _Desk) -> list[_Item]:
    """Take a thread's share of what waits; what nobody waits for any more is dropped."""
    waiting = len(desk.searches)
    # One share more than there are threads: what is left keeps a thread busy while the event loop answers.
    share = min(max(-(-waiting // (desk.threads + 1)), min(waiting, desk.least)), BATCH_SEARCHES)
    taken: list[_Item] = []
    with suppress(IndexError):  # another thread may be quicker
        while len(taken) < share:
            item = desk.searches.popleft()
            if not item.job.future.cancelled():
                taken.append(item)
        while taken and len(taken) < BATCH_SEARCHES and desk.searches[0].job is taken[-1].job:
            # A call is answered when all of its searches are, so they go together.
            taken.append(desk.searches.popleft())
    return taken


def _deliver(future: asyncio.Future[object], result: object) -> None:
    if future.done():
        return
    if isinstance(result, RagError):
        future.set_exception(result)
    else:
        future.set_result(result)


def _settle(answered: list[tuple[_Item, Result]]) -> None:
    for (job, place, _), result in answered:
        job.results[place] = result
        job.missing -= 1
        if not job.missing and not job.future.done():
            job.future.set_result(
                [each if each is not None else NotReady("unanswered") for each in job.results]
            )

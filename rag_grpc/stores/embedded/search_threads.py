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
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import get_ident

import apsw
import structlog

from rag_grpc.core.errors import RagError, StorageFault, WordsNotReady
from rag_grpc.core.ports import Telemetry
from rag_grpc.core.precedence import LARGE_BATCH
from rag_grpc.core.searches import Search
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.lexical_folder import LexicalFault
from rag_grpc.stores.embedded.packed_hits import HitPacker
from rag_grpc.stores.embedded.processors import Processors
from rag_grpc.stores.embedded.store_thread import StoreThread
from rag_grpc.stores.embedded.view_search import Result, alike, answer
from rag_grpc.stores.embedded.waiting_searches import (
    BATCH_SEARCHES,
    Desk,
    Item,
    Job,
    Work,
    items_of,
    searches_of,
    settle,
    share_of,
)

log = structlog.get_logger(__name__)

QUICK_CACHE_KIB = 64 * 1024
"""Pages that the reader of searches through a graph keeps. The rows of hits lie all over the database: with a
quarter of it, reading them took twice as long at 100,000 chunks."""
BATCH_THREADS = 2
"""Threads for such calls: while one is in the graph, which takes every processor and not the GIL, the other
reads rows and makes hits, which takes the GIL and one processor."""
SMALL_BATCH = 12
"""What a thread takes at once of searches through a graph, though it is more than its share: smaller batches
cost too much each."""


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
        packer: HitPacker | None = None,
    ) -> None:
        """`state_of` finds a search's collection, or raises RagError; for `ef` and `packer` see `answer`."""
        self._open_reader = open_reader
        self._state_of = state_of
        self._telemetry = telemetry
        self._processors = Processors(threads)
        self._answered = partial(answer, ef=ef, threads=self._processors, packer=packer)
        self._quick = Desk(1, least=SMALL_BATCH)
        self._batches = Desk(BATCH_THREADS, least=BATCH_SEARCHES)
        self._slow = Desk(threads)
        self._words = Desk(1)
        names = ("search", "batch", "read", "words")
        self._desks = tuple(zip((self._quick, self._batches, self._slow, self._words), names, strict=True))
        self._stopping = False
        # Threads, and not a number, which would lose counts between two of them.
        self._hurrying: set[int] = set()
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
        items = [each for desk, _ in self._desks for each in list(desk.searches)]
        return sum(1 if each.group is None else len(each.group) for each in items)

    @property
    def hurried(self) -> bool:
        """Whether a search waits or is answered, large batches through a graph alone apart. Any thread."""
        return bool(self._hurrying) or any(desk.searches for desk in (self._quick, self._slow, self._words))

    # -- event loop

    def search(self, searches: Sequence[Search]) -> asyncio.Future[list[Result]]:
        """Queue the searches of one call."""
        future: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        count = len(searches)
        if not count:
            future.set_result([])
            return future
        job = Job(future, [None] * count, count)
        quick = self._quick if count < LARGE_BATCH else self._batches
        desks = set()
        for item in items_of(job, searches):
            desk = self._desk_of(item.search, quick)
            desk.searches.append(item)
            desks.add(desk)
        for desk in desks:
            desk.wake_up(len(desk.searches))
        return future

    def _desk_of(self, search: Search, quick: Desk) -> Desk:
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

    def _run(self, desk: Desk) -> None:
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

    def _work(self, desk: Desk, reader: apsw.Connection) -> None:
        """Do one read or one batch, in turns: else searches would wait for as long as reads keep coming."""
        if desk.reads and not (desk.has_read and desk.searches):
            desk.has_read = True
            with suppress(IndexError):
                self._read(reader, *desk.reads.popleft())
            return
        desk.has_read = False
        if batch := share_of(desk):
            if desk is not self._batches:
                self._hurrying.add(get_ident())
            try:
                self._answer(reader, batch)
            finally:
                self._hurrying.discard(get_ident())

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

    def _answer(self, reader: apsw.Connection, batch: list[Item]) -> None:
        groups: dict[object, list[Item]] = defaultdict(list)
        for item in batch:
            groups[alike(item.search)].append(item)
        for items in groups.values():
            answered = self._answer_group(reader, items)
            # Each group when it is done: the next one may take long.
            self._call(settle, items, answered)
        self._telemetry.batch("search", sum(1 if each.group is None else len(each.group) for each in batch))

    def _answer_group(self, reader: apsw.Connection, items: list[Item]) -> Sequence[Result]:
        first = items[0].search
        searches = searches_of(items)
        try:
            with self._state_of(first).hold(words=first.lexical is not None) as view:
                return self._answered(reader, view, searches)
        except RagError as error:
            return [error] * len(searches)
        except LexicalFault as error:
            log.error("lexical_index_failed", collection=first.collection.name, error=str(error))  # noqa: TRY400
            self._state_of(first).withdraw_lexical("it could not be read")
            return [WordsNotReady()] * len(searches)
        except Exception as error:
            log.exception("search_failed", searches=len(searches))
            return [StorageFault(f"the search failed: {type(error).__name__}")] * len(searches)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


def _takes_long(search: Search) -> bool:
    # Words may have to be committed first, and filters and exact scans compare many vectors.
    dense = search.dense
    return search.filter is not None or search.lexical is not None or (dense is not None and dense.exact)


def _deliver(future: asyncio.Future[object], result: object) -> None:
    if future.done():
        return
    if isinstance(result, RagError):
        future.set_exception(result)
    else:
        future.set_result(result)

"""What waits for the threads that search, and the share of it that one takes at a time."""

from __future__ import annotations

import asyncio
import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import apsw

from rag_grpc.core.errors import NotReady
from rag_grpc.core.precedence import LARGE_BATCH
from rag_grpc.core.searches import AlikeSearches, Search
from rag_grpc.stores.embedded.view_search import Result

BATCH_SEARCHES = 64
"""Searches that a thread takes at once. A call of LARGE_BATCH has none put among them."""

Work: TypeAlias = Callable[[apsw.Connection], object]


@dataclass(slots=True, eq=False)
class Job:
    """Searches of one call; the future is resolved when all have a result."""

    future: asyncio.Future[list[Result]]
    results: list[Result | None]
    missing: int


class Item(NamedTuple):
    """One search of a job, or with `group` as many, of which `search` is the first."""

    job: Job
    place: int
    search: Search
    group: AlikeSearches | None = None


@dataclass(slots=True, eq=False)
class Desk:
    """What some threads take their work from, and how they are woken."""

    threads: int
    least: int = 1
    searches: deque[Item] = field(default_factory=deque)
    reads: deque[tuple[Work, asyncio.Future[object]]] = field(default_factory=deque)
    has_read: bool = False
    # Only wakes: a condition variable would be Python code, on the event loop, for each query.
    wake: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue)

    def wake_up(self, items: int) -> None:
        """Wake as many threads as there are new items for."""
        # With a wake for every thread in the queue, whoever would sleep next looks once more before it does.
        for _ in range(min(items, self.threads - self.wake.qsize())):
            self.wake.put(None)


def items_of(job: Job, searches: Sequence[Search]) -> Iterator[Item]:
    """Cut the searches of a call into what a thread takes at once: alike ones stay together."""
    if isinstance(searches, AlikeSearches) and len(searches) >= LARGE_BATCH:
        for begin in range(0, len(searches), BATCH_SEARCHES):
            yield Item(job, begin, searches.first, searches[begin : begin + BATCH_SEARCHES])
    else:
        for place, search in enumerate(searches):
            yield Item(job, place, search)


def searches_of(items: list[Item]) -> Sequence[Search]:
    """Return all searches of some items in a row."""
    group = items[0].group
    if group is not None and len(items) == 1:
        return group
    rows = [(each.search,) if each.group is None else each.group for each in items]
    return [search for row in rows for search in row]


def share_of(desk: Desk) -> list[Item]:
    """Take a thread's share of what waits; what nobody waits for any more is dropped."""
    waiting = len(desk.searches)
    # One share more than there are threads: what is left keeps a thread busy while the event loop answers.
    share = min(max(-(-waiting // (desk.threads + 1)), min(waiting, desk.least)), BATCH_SEARCHES)
    taken: list[Item] = []
    with suppress(IndexError):  # another thread may be quicker
        while len(taken) < share and not (taken and desk.searches[0].group):
            item = desk.searches.popleft()
            if item.job.future.cancelled():
                continue
            taken.append(item)
            if item.group is not None:
                return taken
        while taken and len(taken) < BATCH_SEARCHES and desk.searches[0].job is taken[-1].job:
            # A call is answered when all of its searches are, so they go together.
            taken.append(desk.searches.popleft())
    return taken


def settle(items: list[Item], results: Sequence[Result]) -> None:
    """Take down the results of some items' searches; a call is answered with its last. Event loop."""
    begin = 0
    for job, place, _, group in items:
        count = 1 if group is None else len(group)
        job.results[place : place + count] = results[begin : begin + count]
        begin += count
        job.missing -= count
        if not job.missing and not job.future.done():
            job.future.set_result(
                [each if each is not None else NotReady("unanswered") for each in job.results]
            )

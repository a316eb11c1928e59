"""Lanes: two writes of one document keep their order though their embeddings take different times.

A write takes a *ticket* in the lane of its document before it awaits anything. It
may split and embed as it likes; it joins the store's queue only when its *turn*
has come: when every earlier ticket of its lane has joined the queue or failed.
The store applies writes in the order of submission, so that is all it takes.

What touches a whole collection takes a *barrier*: it waits until every earlier
ticket of the collection is resolved, and every later ticket waits for it. So a
deletion of everything is never survived by a write that came before it.

Tickets are numbered by collection. A ticket may go when no barrier of a smaller
number is held and it is the first of its lane; a barrier, when it is the first
barrier and counts no unresolved ticket of a smaller number. Nothing waits for a
larger number, so there is no circle to wait in. State lives only as long as
somebody holds a ticket or a barrier. Everything runs on one event loop.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class _Lane:
    """The tickets of one document that have not joined, as a linked list, and how many are under way."""

    __slots__ = ("first", "last", "under_way")

    def __init__(self) -> None:
        self.first: Ticket | None = None
        self.last: Ticket | None = None
        self.under_way = 0
        """Tickets that have joined the store's queue and are not resolved."""

    def append(self, ticket: Ticket) -> None:
        """Give `ticket` the last place."""
        if self.last is None:
            self.first = ticket
        else:
            self.last.next = ticket
        self.last = ticket

    def drop_first(self) -> None:
        """Drop the tickets in front that have joined or failed, and wake the one whose turn it is then.

        One that fails in the middle stays in the list until those before it are gone: its turn never
        came, so the next one's has not come either.
        """
        first = self.first
        while first is not None and first.gone:
            first.next, first = None, first.next
        self.first = first
        if first is None:
            self.last = None
        else:
            first.wake()


class _Line:
    """All lanes and barriers of one collection."""

    __slots__ = ("barriers", "collection_id", "lanes", "number", "unresolved")

    def __init__(self, collection_id: int) -> None:
        self.collection_id = collection_id
        self.number = 0
        self.unresolved = 0
        self.lanes: dict[str, _Lane] = {}
        self.barriers: list[Barrier] = []

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def wake_after_barrier(self) -> None:
        if self.barriers:
            self.barriers[0].wake()
        for lane in self.lanes.values():
            if lane.first is not None:
                lane.first.wake()


class Ticket:
    """A place in the lane of one document. `release` must be called in the end, whatever happened."""

    __slots__ = (
        "_doc_id", "_joined", "_lane", "_lanes", "_line", "_number", "_released", "_waiter", "next"
    )  # fmt: skip

    def __init__(self, lanes: Lanes, line: _Line, lane: _Lane, doc_id: str) -> None:
        self._lanes = lanes
        self._line = line
        self._lane = lane
        self._doc_id = doc_id
        self._number = line.next_number()
        self.next: Ticket | None = None
        self._joined = False
        self._released = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def gone(self) -> bool:
        """Whether it has joined the store's queue or failed."""
        return self._joined or self._released

    @property
    def ready(self) -> bool:
        """Whether its turn has come; once it has, it stays so."""
        barriers = self._line.barriers
        if barriers and barriers[0].number < self._number:
            return False
        return self._lane.first is self

    @property
    def quiet(self) -> bool:
        """Whether its turn has come and every earlier ticket of the lane is resolved.

        Only then does what the store says of the document now hold until this write joins.
        """
        return self.ready and self._lane.under_way == 0

    async def turn(self) -> None:
        """Wait until every earlier ticket of the lane has joined or failed and no earlier barrier is held."""
        while not self.ready:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def join(self) -> None:
        """Say that the write is in the store's queue, for good: the next ticket of the lane may go."""
        if not (self._joined or self._released):
            self._joined = True
            self._lane.under_way += 1
            self._lane.drop_first()

    def release(self) -> None:
        """Say that the write was answered, or will never come. Doing it twice is no error."""
        if self._released:
            return
        self._released = True
        lane, line = self._lane, self._line
        if self._joined:
            lane.under_way -= 1
        else:
            lane.drop_first()
        if lane.first is None and lane.under_way == 0 and line.lanes.get(self._doc_id) is lane:
            del line.lanes[self._doc_id]
        line.unresolved -= 1
        for barrier in line.barriers:
            if barrier.number > self._number:
                barrier.resolve_one()
        self._lanes.forget_if_idle(line)

    def wake(self) -> None:
        """Let `turn` look again, where it waits and the turn has come."""
        if self._waiter is not None and not self._waiter.done() and self.ready:
            self._waiter.set_result(None)


class Barrier:
    """Between what was written to a collection before and after it. An async context manager."""

    __slots__ = ("_lanes", "_line", "_waiter", "_waits_for", "number")

    def __init__(self, lanes: Lanes, line: _Line) -> None:
        self._lanes = lanes
        self._line = line
        self._waits_for = line.unresolved
        self._waiter: asyncio.Future[None] | None = None
        self.number = line.next_number()
        line.barriers.append(self)

    @property
    def ready(self) -> bool:
        """Whether every earlier ticket of the collection is resolved and every earlier barrier released."""
        return self._waits_for == 0 and self._line.barriers[0] is self

    async def turn(self) -> None:
        """Wait until `ready`."""
        while not self.ready:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def release(self) -> None:
        """Let later tickets and barriers go. Doing it twice is no error."""
        if self in self._line.barriers:
            self._line.barriers.remove(self)
            self._line.wake_after_barrier()
            self._lanes.forget_if_idle(self._line)

    def resolve_one(self) -> None:
        """Count down the tickets before this barrier."""
        self._waits_for -= 1
        self.wake()

    def wake(self) -> None:
        """Let `turn` look again, where it waits and the turn has come."""
        if self._waiter is not None and not self._waiter.done() and self.ready:
            self._waiter.set_result(None)

    async def __aenter__(self) -> Self:
        try:
            await self.turn()
        except BaseException:
            self.release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Lanes:
    """The lanes of all collections, by the collection's id, which is never used twice."""

    def __init__(self) -> None:
        self._lines: dict[int, _Line] = {}

    def ticket(self, collection_id: int, doc_id: str) -> Ticket:
        """Take a ticket, now. The caller must `release` it in the end."""
        line = self._line(collection_id)
        lane = line.lanes.get(doc_id)
        if lane is None:
            lane = line.lanes[doc_id] = _Lane()
        ticket = Ticket(self, line, lane, doc_id)
        lane.append(ticket)
        line.unresolved += 1
        return ticket

    def barrier(self, collection_id: int) -> Barrier:
        """Take a barrier, now: enter it with `async with`, or await `turn` and `release` it in the end."""
        return Barrier(self, self._line(collection_id))

    @property
    def idle(self) -> bool:
        """Whether nobody holds anything, so that nothing is kept."""
        return not self._lines

    def forget_if_idle(self, line: _Line) -> None:
        """Drop what is kept for a collection that nobody writes to."""
        if line.unresolved == 0 and not line.barriers and self._lines.get(line.collection_id) is line:
            del self._lines[line.collection_id]

    def _line(self, collection_id: int) -> _Line:
        line = self._lines.get(collection_id)
        if line is None:
            line = self._lines[collection_id] = _Line(collection_id)
        return line

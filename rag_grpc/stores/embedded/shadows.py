"""Giving a collection of the embedded store another embedder: its shadow, and the swap.

While somebody works on a shadow, its vectors also lie in an index of their own, file and
graph, which the index thread builds beside the live one; so the collection is never
without a graph. What dies meanwhile is found out at the swap, by comparing ids.

Everything here belongs to the event loop; `shadow_writes` has the writer thread's part.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import apsw

from rag_grpc.core.errors import CollectionNotFound, EmbedderChanged, NotReady, StorageFull
from rag_grpc.core.models import Collection
from rag_grpc.core.shadow import ShadowContent, StoredContent, Target
from rag_grpc.stores.embedded import shadow_rows
from rag_grpc.stores.embedded.collection_rows import CollectionRow
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.effects import Counters
from rag_grpc.stores.embedded.loading import IndexLoader
from rag_grpc.stores.embedded.shadow_writes import ShadowWrites, after, let_go
from rag_grpc.stores.embedded.writer import Writer

T = TypeVar("T")

TAIL_SECONDS = 0.02
"""How often it is looked whether the graph has caught up."""


class Shadows:
    """The shadows of all collections."""

    def __init__(
        self,
        states: Mapping[int, CollectionState],
        writer: Writer,
        writes: ShadowWrites,
        loader: IndexLoader,
        *,
        open_reader: Callable[[], apsw.Connection],
        spare_bytes: Callable[[], int],
        tail_bound: int,
    ) -> None:
        """`spare_bytes` says what of the disk may be taken; `tail_bound` how far a graph may be behind."""
        self.writes = writes
        self._states = states
        self._writer = writer
        self._loader = loader
        self._open_reader = open_reader
        self._spare_bytes = spare_bytes
        self._tail_bound = tail_bound
        self._busy: set[int] = set()

    @asynccontextmanager
    async def work_on(
        self, state: CollectionState, collection: Collection, target: Target
    ) -> AsyncIterator[Work]:
        """Begin or go on with a shadow; see core.shadow.ShadowStore."""
        if collection.embedder_fingerprint != state.side.fingerprint:
            raise EmbedderChanged(collection.name)
        if collection.id in self._busy:
            raise NotReady(f"collection {collection.name!r} is being embedded again already")
        self._busy.add(collection.id)
        work = Work(self, state, target)
        try:
            while not await self.submit(lambda connection: self.writes.begin(connection, state, target)):
                pass
            await self._load(state, target)
            yield work
        finally:
            await _seen_through(self._leave(state, work))
            self._busy.discard(collection.id)

    async def discard(self, state: CollectionState) -> None:
        """Forget a shadow that nobody works on."""
        await self.submit(lambda connection: self.writes.discard(connection, state))

    async def rename(self, state: CollectionState, name: str) -> Collection:
        """Give the embedder another name."""
        return await self.submit(lambda connection: self.writes.rename(connection, state, name))

    async def submit(self, task: Callable[[apsw.Connection], T]) -> T:
        """Run a task in the writer thread; once begun it is seen through."""
        result: Any = await self._writer.submit(task)
        return result  # type: ignore[no-any-return]  # the task's own

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Read in a thread, with a connection of its own: many rows, which would hold others up."""

        def read() -> T:
            reader = self._open_reader()
            try:
                with reader:
                    result = work(reader)
            finally:
                reader.close()
            return result

        return await asyncio.to_thread(read)

    async def caught_up(self, state: CollectionState) -> None:
        """Wait until the graph of the new vectors lacks few of them."""
        # The index thread knows no event of this loop.
        while (  # noqa: ASYNC110
            state.coming is not None and state.coming.tail > self._tail_bound and not state.dropped
        ):
            await asyncio.sleep(TAIL_SECONDS)

    async def _load(self, state: CollectionState, target: Target) -> None:
        wanted = state.view.counts.chunks * target.dimension * 4
        if self._spare_bytes() < wanted:
            raise StorageFull(f"no room on the disk for {wanted // 2**20} MiB of other vectors")
        counters = Counters(0, 0, 0, state.view.counts.chunks)
        row = CollectionRow(after(state.collection, target), counters, state.side.other(target.fingerprint))

        def load() -> None:
            reader = self._open_reader()
            try:
                state.coming = self._loader.vectors(reader, row)
            finally:
                reader.close()

        await _seen_through(asyncio.to_thread(load))
        await self.caught_up(state)

    async def _leave(self, state: CollectionState, work: Work) -> None:
        """Let go of the index, after what is under way."""
        if work.swapping is not None:
            await asyncio.gather(work.swapping, return_exceptions=True)
        if state.coming is not None and self._states.get(state.collection.id) is state:
            await self.submit(lambda _: let_go(state))


class Work:
    """See core.shadow.Shadow."""

    def __init__(self, shadows: Shadows, state: CollectionState, target: Target) -> None:
        self._shadows = shadows
        self._state = state
        self._target = target
        self.swapping: asyncio.Future[Collection | None] | None = None

    async def left(self) -> int:
        """Count what is missing."""
        number = self._number()
        return await self._shadows.read(
            lambda reader: shadow_rows.count_left(reader, number, self._through(reader))
        )

    async def page(self, *, max_chunks: int, max_bytes: int) -> tuple[StoredContent, ...]:
        """Read what is next."""
        number = self._number()
        return await self._shadows.read(
            lambda reader: shadow_rows.read_page(
                reader, number, self._through(reader), max_chunks=max_chunks, max_bytes=max_bytes
            )
        )

    async def keep(self, contents: Sequence[ShadowContent]) -> None:
        """Keep what was made."""
        self._number()
        await self._shadows.caught_up(self._state)
        await self._shadows.submit(
            lambda connection: self._shadows.writes.keep(connection, self._state, contents)
        )

    async def swap(self) -> Collection | None:
        """Take over."""
        self._number()
        self.swapping = asyncio.ensure_future(
            self._shadows.submit(
                lambda connection: self._shadows.writes.swap(connection, self._state, self._target)
            )
        )
        return await asyncio.shield(self.swapping)

    def _number(self) -> int:
        if self._state.dropped:
            raise CollectionNotFound(self._state.collection.name)
        return self._state.collection.id

    def _through(self, reader: apsw.Connection) -> int:
        row = shadow_rows.read_shadow(reader, self._state.collection.id)
        if row is None or row.target != self._target:
            raise NotReady("the shadow was discarded meanwhile: begin again")
        return row.through


async def _seen_through(work: Any) -> Any:
    """Await what must not be left half done; a cancellation waits for its end."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise

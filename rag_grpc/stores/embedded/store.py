"""The embedded store's face: it owns the threads, and the order in which they start and end.

    event loop ──submit──▶ writer thread ──COMMIT, publish──▶ views
         │                                                     ▲ │
         └──search, read──▶ search threads ◀──take a view──────┼─┘
                                             index thread ──graphs, snapshots

Opening: lock, database, every collection's vectors and snapshot, then the threads,
then wait until no tail is long. Closing goes the other way round, and saves the
graphs, so that the next start is quick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw
import structlog

from rag_grpc.core.analysis import Analyzer, PlainAnalyzer
from rag_grpc.core.errors import CollectionNotFound, NotConfigured, NotReady, RagError
from rag_grpc.core.models import (
    Collection,
    CollectionCounts,
    CollectionSpec,
    Outcome,
    Write,
)
from rag_grpc.core.ports import HitCodec, MetadataCodec, Telemetry
from rag_grpc.core.searches import Search, SearchResult
from rag_grpc.core.shadow import Shadow, Target
from rag_grpc.core.store_state import StoreStats, StoreStatus
from rag_grpc.stores.embedded.collection_rows import drop_collection
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.engine import Engine
from rag_grpc.stores.embedded.folder import DataFolder
from rag_grpc.stores.embedded.quality_table import QualityTable
from rag_grpc.stores.embedded.recall_check import shares_found
from rag_grpc.stores.embedded.store_reads import StoreReads
from rag_grpc.stores.embedded.waiting_searches import Work

log = structlog.get_logger(__name__)

T = TypeVar("T")


class EmbeddedStore(StoreReads):
    """See ports.Store for what every method promises."""

    def __init__(
        self,
        folder: Path,
        *,
        codec: MetadataCodec,
        telemetry: Telemetry,
        analyzer: Analyzer | None = None,
        settings: EmbeddedSettings | None = None,
        packing: HitCodec | None = None,
    ) -> None:
        """Name the data folder; nothing is touched before `open`.

        Without an analyzer, words are compared as they stand, whatever their language. Without `packing`,
        hits are not packed.
        """
        super().__init__(codec)
        settings = settings or EmbeddedSettings()
        self._ef = settings.index.ef
        self._engine = Engine(
            DataFolder(folder),
            codec,
            analyzer or PlainAnalyzer(),
            telemetry,
            settings=settings,
            failed=self._failed,
            packing=packing,
        )
        self.quality = QualityTable(
            write=self._engine.writer.submit, read=self._read, check=self._check_ready
        )
        self._by_name: dict[str, CollectionState] = {}
        self._listeners: list[Callable[[StoreStatus], None]] = []
        self._status = StoreStatus(False, False, "loading", "loading")
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def name(self) -> str:
        """What GetServerInfo calls it."""
        return "embedded"

    # -- state

    async def open(self) -> None:
        """Load what is there. Raises NotConfigured where the folder is locked, newer or not to be opened."""
        self._loop = asyncio.get_running_loop()
        loading = asyncio.ensure_future(asyncio.to_thread(self._engine.load))
        try:
            await asyncio.shield(loading)
        except BaseException as error:
            # A thread cannot be cancelled, and what it works with must not be closed under its hands.
            self._engine.stop_loading()
            await asyncio.gather(loading, return_exceptions=True)
            await asyncio.to_thread(self._engine.abandon)
            if isinstance(error, apsw.Error):
                raise NotConfigured(f"the database cannot be opened: {error}") from error
            raise
        self._by_name = {state.collection.name: state for state in self._engine.states.values()}
        self._engine.start()
        await asyncio.to_thread(self._engine.wait_until_caught_up)
        self._change(StoreStatus(can_read=True, can_write=True))

    async def close(self) -> None:
        """Finish the writes that were submitted, save the graphs, release everything."""
        self._change(StoreStatus(False, False, "closed", "closed"))
        await asyncio.to_thread(self._engine.stop)
        # The writer delivered its last outcomes to this loop: let them arrive before the caller goes on.
        await asyncio.sleep(0)

    def status(self) -> StoreStatus:
        """What works now."""
        return self._status

    def subscribe(self, listener: Callable[[StoreStatus], None]) -> None:
        """Call `listener` after each change of status."""
        self._listeners.append(listener)

    def stats(self) -> StoreStats:
        """Counts for dashboards."""
        return self._engine.stats()

    def _failed(self, reason: str) -> None:
        """Learn from another thread that writes fail, or with an empty reason that they work again."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._note, reason)

    def _note(self, reason: str) -> None:
        if self._status.can_read:
            self._change(StoreStatus(can_read=True, can_write=not reason, write_reason=reason))

    def _change(self, status: StoreStatus) -> None:
        if status != self._status:
            self._status = status
            for listener in self._listeners:
                listener(status)

    def _check_ready(self) -> None:
        if not self._status.can_read:
            raise NotReady(f"the store is not ready: {self._status.read_reason}")

    # -- collections

    async def create_collection(self, spec: CollectionSpec, fingerprint: str) -> Collection:
        """Make a collection. Raises CollectionExists."""
        self._check_ready()
        # A caller who leaves must not leave behind a collection that has no name here.
        return await asyncio.shield(_seen_through(self._create(spec, fingerprint)))

    async def _create(self, spec: CollectionSpec, fingerprint: str) -> Collection:
        def create(connection: apsw.Connection) -> CollectionState:
            return self._engine.create(connection, spec, fingerprint)

        state = cast("CollectionState", await self._engine.writer.submit(create))
        self._by_name[spec.name] = state
        return state.collection

    def collection(self, name: str) -> Collection:
        """Look a collection up. Raises CollectionNotFound."""
        self._check_ready()
        state = self._by_name.get(name)
        if state is None:
            raise CollectionNotFound(name)
        return state.collection

    def counts(self, collection: Collection) -> CollectionCounts:
        """How much is in it."""
        return self._state(collection).view.counts

    def collections(self) -> list[Collection]:
        """All collections, by name."""
        self._check_ready()
        return [self._by_name[name].collection for name in sorted(self._by_name)]

    async def delete_collection(self, collection: Collection) -> None:
        """Remove a collection and all that is in it."""
        state = self._state(collection)
        state.dropped = True
        if self._by_name.get(collection.name) is state:
            del self._by_name[collection.name]
        await asyncio.shield(_seen_through(self._drop(state)))

    async def _drop(self, state: CollectionState) -> None:
        collection = state.collection

        def drop(connection: apsw.Connection) -> None:
            drop_collection(connection, collection.id)
            self._engine.forget(state)

        try:
            await self._engine.writer.submit(drop)
        except RagError:
            state.dropped = False
            self._by_name[collection.name] = state
            raise

    # -- another embedder

    def shadow(self, collection: Collection, target: Target) -> AbstractAsyncContextManager[Shadow]:
        """Work on the shadow of a collection."""
        return self._engine.shadows.work_on(self._state(collection), collection, target)

    async def discard_shadow(self, collection: Collection) -> None:
        """Forget what was kept for another embedder."""
        await self._engine.shadows.discard(self._state(collection))

    async def rename_embedder(self, collection: Collection, name: str) -> Collection:
        """Call the collection's embedder otherwise."""
        return await self._engine.shadows.rename(self._state(collection), name)

    def _state(self, collection: Collection) -> CollectionState:
        self._check_ready()
        state = self._engine.states.get(collection.id)
        if state is None or state.dropped:
            raise CollectionNotFound(collection.name)
        return state

    # -- writes

    def submit(self, write: Write) -> asyncio.Future[Outcome]:
        """Take a write into the queue."""
        try:
            self._state(write.collection)
        except RagError as error:
            future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            future.set_exception(error)
            return future
        return cast("asyncio.Future[Outcome]", self._engine.writer.submit(write))

    # -- reads

    async def search(self, searches: Sequence[Search]) -> list[SearchResult | RagError]:
        """Answer searches, each by itself."""
        self._check_ready()
        return await self._engine.searches.search(searches)

    async def index_recall(
        self, collection: Collection, places: Sequence[float], *, top_k: int, ef: int
    ) -> list[float]:
        """Hold a search against comparing every vector."""
        state, breadth = self._state(collection), ef or self._ef

        def compare(_: apsw.Connection) -> list[float]:
            with state.hold() as view:
                return shares_found(view.dense, places, top_k=top_k, ef=breadth)

        return cast("list[float]", await self._read(compare))

    async def _read(self, work: Work) -> Any:
        return await self._engine.searches.read(work)


def _seen_through(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Begin what goes on without its caller; where he left, nobody else asks how it ended."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task

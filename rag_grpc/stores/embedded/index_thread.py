"""The one thread that looks after the indexes, in steps short enough to let searches through.

It moves chunks from the tails into the graphs, marks the dead, makes an index anew
where a quarter of it is dead, and has snapshots made. Each step takes some
milliseconds; under load they are shorter than when nobody searches.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterable, Mapping
from time import monotonic, perf_counter

import apsw
import structlog

from rag_grpc.core.errors import StorageFull
from rag_grpc.core.ports import Telemetry
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.compaction import ROOM_FACTOR, Compaction
from rag_grpc.stores.embedded.dense_index import DenseIndex, IndexParameters
from rag_grpc.stores.embedded.filter_index import FilterIndex
from rag_grpc.stores.embedded.folder import DataFolder
from rag_grpc.stores.embedded.graph_pace import ROWS_A_THREAD
from rag_grpc.stores.embedded.lexical_keeping import LexicalKeeper
from rag_grpc.stores.embedded.restless import Restless
from rag_grpc.stores.embedded.snapshot_keeping import SnapshotKeeper
from rag_grpc.stores.embedded.store_thread import StoreThread
from rag_grpc.stores.embedded.writer import Task

log = structlog.get_logger(__name__)

BUSY_SLICE_SECONDS = 0.003
"""How long the graph is closed to searches at a time while there are some, with half of the processors: with
all of them a slice took as long, because the searches that it met wanted one too, whose median doubled."""
IDLE_SLICE_SECONDS = 0.02
FEWEST_ROWS, MOST_ROWS = 10, 2048
"""A slice costs as much as a row or two: threads wake up, and the caches are full of something else."""
NEARLY_DONE_ROWS = 512
"""A new index takes the old one's place when its tail is no longer than this."""
RETRY_SECONDS = 30.0


class IndexThread:
    """Owns all changes of graphs."""

    def __init__(
        self,
        states: Mapping[int, CollectionState],
        folder: DataFolder,
        parameters: IndexParameters,
        telemetry: Telemetry,
        *,
        snapshot_seconds: float,
        spare_bytes: Callable[[], int],
        remake: Callable[[CollectionState], tuple[DenseIndex, FilterIndex]],
        lexical: LexicalKeeper,
    ) -> None:
        """`remake` loads a collection's indexes from the database.

        `snapshot_seconds` of replay make a snapshot due. `spare_bytes` says how much of the disk may be taken
        for what can wait.
        """
        self._restless = Restless(states)
        self._folder = folder
        self._telemetry = telemetry
        self._snapshots = SnapshotKeeper(
            folder, parameters, snapshot_seconds=snapshot_seconds, spare_bytes=spare_bytes
        )
        self._spare_bytes = spare_bytes
        self._remake = remake
        self._lexical = lexical
        self._post: Callable[[Task], concurrent.futures.Future[object]] | None = None
        self._compaction: Compaction | None = None
        self._not_before = 0.0
        self._wake = threading.Event()
        self._progress = threading.Condition()
        self._stopping = False
        self._closing = False
        self._thread = StoreThread(target=self._run, name="index")

    def start(self, post: Callable[[Task], concurrent.futures.Future[object]]) -> None:
        """Begin to work. `post` queues a task for the writer thread."""
        self._post = post
        self._thread.start()

    def stop(self) -> None:
        """End the thread and a child that is at work. Blocks."""
        self._stopping = True
        self.release_waiters()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._lexical.stop()
        self._snapshots.stop()
        work, self._compaction = self._compaction, None
        if work is not None:
            work.close_unused()

    def release_waiters(self) -> None:
        """Have nobody wait for tails any more, because the store is closing."""
        self._closing = True
        with self._progress:
            self._progress.notify_all()

    def nudge(self, collections: Iterable[int]) -> None:
        """Say that these may have work. Any thread."""
        self._restless.note(collections)
        self._wake.set()

    def nudge_all(self) -> None:
        """Say that there may be work anywhere. Any thread."""
        self._restless.sweep()
        self._wake.set()

    def wait_for_tails(self, bounds: list[tuple[CollectionState, int]], *, timeout: float | None) -> bool:
        """Wait until each tail has so few chunks or less; False where time ran out. Any other thread."""
        self.nudge(state.collection.id for state, _ in bounds)
        with self._progress:
            return self._progress.wait_for(
                lambda: (
                    self._closing or all(state.index.tail <= rows or state.fault for state, rows in bounds)
                ),
                timeout,
            )

    # -- index thread

    def _run(self) -> None:
        while not self._stopping:
            busy = False
            self._let_go_of_dropped()
            states = self._restless.take()
            for state in states:
                more = self._look_after(state)
                busy = busy or more
                if more or self._is_unsettled(state):
                    self._restless.note((state.collection.id,))
            with self._progress:
                self._progress.notify_all()
            self._snapshots.look_after(states, busy=self._compaction is not None)
            if not busy:
                self._wake.wait(timeout=0.5)
                self._wake.clear()

    def _is_unsettled(self, state: CollectionState) -> bool:
        """Say whether a collection waits for something that nobody will tell of."""
        return bool(
            state.index.tail
            or state.lexical.pending
            or state.fault
            or state.lexical_fault
            or state.coming is not None
            or (self._compaction is not None and self._compaction.state is state)
            or self._snapshots.is_due(state)
        )

    def _look_after(self, state: CollectionState) -> bool:
        """Do one step for a collection; return whether there is more to do."""
        if state.dropped or self._stopping:
            return False
        try:
            if state.fault:
                return self._repair(state)
            if self._post is not None:
                self._lexical.look_after(state, self._post)
            return self._advance(state) or self._compact(state) or self._advance_coming(state)
        except (RuntimeError, ValueError, MemoryError, OSError, StorageFull):
            log.exception("index_failed", collection=state.collection.name)
            state.fault = "the graph failed"
            self._abandon(state)
            return False

    def _advance(self, state: CollectionState) -> bool:
        index = state.index
        compacting = self._compaction is not None and self._compaction.state is state
        if compacting and index.tail < MOST_ROWS:
            # The new index will have these chunks too: leave them in the tail while it is short.
            return False
        moved = self._slice(index, state.oldest_seq())
        state.publish_graph()
        return moved and not compacting

    def _advance_coming(self, state: CollectionState) -> bool:
        """Build the graph of a shadow. Where that fails, whoever works on it finds it gone."""
        coming = state.coming
        try:
            return coming is not None and self._slice(coming, state.view.seq)
        except (RuntimeError, ValueError, MemoryError):
            log.exception("shadow_index_failed", collection=state.collection.name)
            state.coming = None
            return False

    def _slice(self, index: DenseIndex, oldest_seq: int) -> bool:
        threads, seconds = index.parameters.threads, IDLE_SLICE_SECONDS
        if index.graph is not None and index.graph.lock.contended:
            threads, seconds = max(1, threads // 2), BUSY_SLICE_SECONDS
        fewest = max(FEWEST_ROWS, ROWS_A_THREAD * threads)
        rows = max(fewest, min(MOST_ROWS, int(seconds / index.pace.now)))
        before, started = index.in_graph, perf_counter()
        moved = index.advance(oldest_seq, rows, threads=threads)
        if moved:
            taken = perf_counter() - started
            # Rows that were dead before their turn came take nothing.
            index.pace.note(taken, index.in_graph - before, threads=threads)
            self._telemetry.stage("graph_slice", taken)
        return moved > 0

    # -- compaction

    def _compact(self, state: CollectionState) -> bool:
        work = self._compaction
        if work is None:
            return self._begin_compaction(state)
        if work.state is not state:
            return False
        if work.swap is not None:
            return self._finish_swap(work)
        if work.old is not state.index:
            self._abandon(state)
            return False
        if work.fresh.tail > NEARLY_DONE_ROWS:
            return self._slice(work.fresh, state.oldest_seq())
        if self._post is not None:
            work.swap = self._post(lambda _: work.put_in_place())
        return False

    def _begin_compaction(self, state: CollectionState) -> bool:
        if not state.index.wants_compaction or monotonic() < self._not_before:
            return False
        if self._spare_bytes() < state.index.vectors.bytes_of_living() * ROOM_FACTOR:
            self._postpone_compaction(state)
            return False
        path = self._folder.new_vector_file(state.collection.id)
        try:
            fresh, through = state.index.compacted(path, state.oldest_seq())
        except StorageFull:
            self._postpone_compaction(state)
            return False
        self._compaction = Compaction(state, state.index, fresh, through)
        log.info("compaction_began", collection=state.collection.name, chunks=fresh.vectors.slots.length)
        return True

    def _finish_swap(self, work: Compaction) -> bool:
        if work.swap is None or not work.swap.done():
            return False
        self._compaction = None
        if isinstance(work.swap.result(), Exception):
            log.warning(
                "compaction_failed", collection=work.state.collection.name, error=str(work.swap.result())
            )
            work.fresh.close()
            self._not_before = monotonic() + RETRY_SECONDS
        else:
            work.old.close()
            self._telemetry.event("index_compacted")
            log.info("compaction_done", collection=work.state.collection.name)
        return True

    def _postpone_compaction(self, state: CollectionState) -> None:
        """Leave for later what needs more of the disk than there is to spare."""
        log.warning("compaction_postponed", collection=state.collection.name, spare=self._spare_bytes())
        self._not_before = monotonic() + RETRY_SECONDS

    def _let_go_of_dropped(self) -> None:
        """End what is under way for a collection that is gone, or has another embedder."""
        if self._compaction is not None and self._compaction.state.dropped:
            self._abandon(self._compaction.state)
        self._snapshots.let_go_of_obsolete()

    def _abandon(self, state: CollectionState) -> None:
        if self._compaction is not None and self._compaction.state is state and self._compaction.swap is None:
            self._compaction.fresh.close()
            self._compaction = None

    # -- repair

    def _repair(self, state: CollectionState) -> bool:
        """Make an index anew from the database, in the writer's thread, between two groups."""
        if monotonic() < self._not_before or self._post is None:
            return False
        self._not_before = monotonic() + RETRY_SECONDS
        self._abandon(state)

        def remake(_: apsw.Connection) -> None:
            old = state.index
            state.replace_index(*self._remake(state))
            state.fault = ""
            old.close()
            self._telemetry.event("index_rebuilt")
            log.warning("index_rebuilt", collection=state.collection.name)

        self._post(remake)
        return False

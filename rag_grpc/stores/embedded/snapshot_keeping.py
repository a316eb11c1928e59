"""When a graph's snapshot is due, and that one is made at a time. All of it is the index thread's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Final

import structlog

from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.folder import DataFolder
from rag_grpc.stores.embedded.kept_filters import keep_filters
from rag_grpc.stores.embedded.memory import available_bytes
from rag_grpc.stores.embedded.snapshot_child import SnapshotChild

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 30.0
MEMORY_FACTOR: Final = 1.2
"""Of a graph's own bytes, which must be free: what changes while the child writes is copied, all at worst."""
REST: Final = 2.0
"""For so many times as long as a snapshot took none is begun: each writes the whole graph to the disk."""


class SnapshotKeeper:
    """Has snapshots made by child processes."""

    def __init__(
        self,
        folder: DataFolder,
        parameters: IndexParameters,
        *,
        snapshot_seconds: float,
        spare_bytes: Callable[[], int],
    ) -> None:
        """`snapshot_seconds` of replay make one due; `spare_bytes` says what it may take of the disk."""
        self._folder = folder
        self._parameters = parameters
        self._snapshot_seconds = snapshot_seconds
        self._spare_bytes = spare_bytes
        self._child: SnapshotChild | None = None
        self._not_before = 0.0

    def stop(self) -> None:
        """End a child that is at work. Blocks."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def let_go_of_obsolete(self) -> None:
        """End a child whose collection is gone, or has another embedder."""
        if self._child is not None and self._child.obsolete:
            try:
                self.stop()
            except Exception:
                log.exception("snapshot_broke")
                self._give_up()

    def look_after(self, states: Iterable[CollectionState], *, busy: bool) -> None:
        """Take what a child made, or start one that is due, unless a compaction keeps memory `busy`.

        Raises nothing: a snapshot that fails, of whatever kind the failure is, must not end the thread that
        looks after the indexes.
        """
        try:
            self._step(states, busy=busy)
        except Exception:
            log.exception("snapshot_broke")
            self._give_up()

    def _give_up(self) -> None:
        """Drop the child, whatever its state, and try again later."""
        self._not_before = monotonic() + RETRY_SECONDS
        child, self._child = self._child, None
        if child is not None:
            with suppress(Exception):
                child.stop()

    def _step(self, states: Iterable[CollectionState], *, busy: bool) -> None:
        if self._child is not None:
            if self._child.finished():
                rest = RETRY_SECONDS if self._child.failed else self._child.seconds * REST
                self._not_before = monotonic() + rest
                self._child = None
            return
        if busy or monotonic() < self._not_before:
            return
        for state in states:
            if self.is_due(state) and self._fits(state):
                self._begin(state)
                return

    def is_due(self, state: CollectionState) -> bool:
        """Say whether a collection wants one, now or as soon as it can be."""
        replay = state.births * state.index.pace.alone
        return state.index.graph is not None and replay >= self._snapshot_seconds

    def _begin(self, state: CollectionState) -> None:
        try:
            keep_filters(state, self._folder.index_folder(state.collection.id))
        except OSError as error:
            # The graph is the dearer of the two, and needs no filters.
            log.warning("filters_not_kept", collection=state.collection.name, error=str(error))
        try:
            self._child = SnapshotChild(state, self._folder, self._parameters)
        except OSError as error:
            log.warning("snapshot_failed", collection=state.collection.name, error=str(error))
            self._not_before = monotonic() + RETRY_SECONDS

    def _fits(self, state: CollectionState) -> bool:
        graph = state.index.graph
        if graph is None or state.dropped:
            return False
        if self._spare_bytes() < graph.bytes_in_memory():
            return self._postpone(state, spare=self._spare_bytes())
        available = available_bytes()
        if available is not None and available < graph.bytes_in_memory() * MEMORY_FACTOR:
            return self._postpone(state, memory=available)
        return True

    def _postpone(self, state: CollectionState, **reason: int) -> bool:
        log.warning("snapshot_postponed", collection=state.collection.name, **reason)
        self._not_before = monotonic() + RETRY_SECONDS
        return False

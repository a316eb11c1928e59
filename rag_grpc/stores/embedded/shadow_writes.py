"""The writer thread's part of a collection's shadow: begin, keep, swap.

The swap is one transaction and one publication: searches that took their view before go
on with the old vectors, whose rows are purged when the last of them has ended. It takes
a seq, by which a COMMIT that failed is found out, as a write's is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import apsw
import numpy as np
import structlog

from rag_grpc.core.errors import CollectionNotFound, NotReady, StorageFault
from rag_grpc.core.models import Collection
from rag_grpc.core.shadow import ShadowContent, Target
from rag_grpc.stores.embedded import shadow_rows
from rag_grpc.stores.embedded.collection_rows import rename_embedder
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.dense_index import DenseIndex, Died
from rag_grpc.stores.embedded.folder import DataFolder
from rag_grpc.stores.embedded.group_commit import GroupCommit
from rag_grpc.stores.embedded.room import Room
from rag_grpc.stores.embedded.snapshots import remove, snapshots
from rag_grpc.stores.embedded.vector_file import ALIVE

log = structlog.get_logger(__name__)

PURGE_ROWS = 2000
ROW_BYTES = 64
"""What a vector takes in the database beside its numbers."""


class ShadowWrites:
    """Changes shadows. Every method is a task of the writer thread's, between two groups."""

    def __init__(
        self,
        commits: GroupCommit,
        room: Room,
        folder: DataFolder,
        *,
        changed: Callable[[int], None],
    ) -> None:
        """`changed` is told of a collection that has left rows to purge."""
        self._commits = commits
        self._room = room
        self._folder = folder
        self._changed = changed

    def begin(self, connection: apsw.Connection, state: CollectionState, target: Target) -> bool:
        """Make the shadow's row; False where rows of another target are still to be purged."""
        number = state.collection.id
        _check_sound(state)
        row = shadow_rows.read_shadow(connection, number)
        if row is not None:
            if row.target == target:
                return True
            shadow_rows.end_shadow(connection, number)
        if state.oldest_seq() < state.swapped_seq:
            return False
        if shadow_rows.purge(connection, number, PURGE_ROWS):
            return False
        shadow_rows.begin_shadow(connection, number, target)
        return True

    def keep(
        self, connection: apsw.Connection, state: CollectionState, contents: Sequence[ShadowContent]
    ) -> None:
        """Keep what was made. Raises StorageFull, NotReady."""
        coming = _coming(state)
        rows = [each.vectors for each in contents if each.vectors is not None]
        self._room.make_room(
            connection, coming, sum(map(len, rows)), sum(each.nbytes + ROW_BYTES * len(each) for each in rows)
        )
        try:
            born = shadow_rows.keep(connection, state.collection.id, contents)
            coming.apply(born, [])
        except BaseException:
            # Database and index may differ now: the next one who works on it loads the index anew.
            let_go(state)
            raise

    def swap(self, connection: apsw.Connection, state: CollectionState, target: Target) -> Collection | None:
        """Take over, if nothing is missing. Raises NotReady."""
        coming, number = _coming(state), state.collection.id
        row = shadow_rows.read_shadow(connection, number)
        if row is None or not shadow_rows.is_whole(connection, number, row.through):
            return None
        seq = self._commits.seq + 1
        connection.execute("BEGIN IMMEDIATE")
        shadow_rows.take_over(connection, number, target)
        connection.execute("UPDATE counter SET value = ? WHERE name = 'seq'", (seq,))
        try:
            connection.execute("COMMIT")
        except apsw.Error:
            # Whether it is there, nobody knows. If it is, the seq shows it, and all indexes are made anew.
            self._commits.recover()
            raise
        self._commits.seq = seq
        self._commits.sides[number] = side = state.side.other(target.fingerprint)
        old = state.index
        try:
            _bury(coming, old, seq)
        except Exception:
            log.exception("index_failed", collection=state.collection.name)
            state.fault = "the new index differs from the old one"
        state.take_over(after(state.collection, target), side, coming, seq)
        old.close()
        for snapshot in snapshots(self._folder.index_folder(number)):
            remove(snapshot)
        self._changed(number)
        return state.collection

    def discard(self, connection: apsw.Connection, state: CollectionState) -> None:
        """Forget a shadow that nobody works on; its rows are purged by and by."""
        shadow_rows.end_shadow(connection, state.collection.id)
        self._changed(state.collection.id)

    def rename(self, connection: apsw.Connection, state: CollectionState, name: str) -> Collection:
        """Give the embedder another name."""
        rename_embedder(connection, state.collection.id, name)
        state.collection = replace(state.collection, embedder=name)
        return state.collection


def after(collection: Collection, target: Target) -> Collection:
    """Return the collection as it is when the target has taken over."""
    return replace(
        collection,
        embedder=target.embedder,
        embedder_fingerprint=target.fingerprint,
        dimension=target.dimension,
    )


def _check_sound(state: CollectionState) -> None:
    if state.dropped:
        raise CollectionNotFound(state.collection.name)
    if state.fault:
        raise NotReady(f"the index of collection {state.collection.name!r} is being rebuilt", retry_after=2)


def _coming(state: CollectionState) -> DenseIndex:
    _check_sound(state)
    if state.coming is None:
        raise NotReady("the index of the new vectors failed: begin again, it goes on where it was")
    return state.coming


def let_go(state: CollectionState) -> None:
    """Close the index of a shadow that nobody works on any more. Writer thread."""
    coming, state.coming = state.coming, None
    if coming is not None:
        coming.close()


def _bury(coming: DenseIndex, live: DenseIndex, seq: int) -> None:
    """Take the chunks out of the new index that died while it was made. Raises StorageFault for any other."""
    slots, others = coming.vectors.slots, live.vectors.slots
    ids = slots.ids[: slots.length][slots.died[: slots.length] == ALIVE]
    living = others.ids[: others.length][others.died[: others.length] == ALIVE]
    gone = np.setdiff1d(ids, living, assume_unique=True)
    for run in np.split(gone, np.flatnonzero(np.diff(gone) != 1) + 1):
        if len(run):
            coming.apply([], [Died(int(run[0]), len(run), seq)])
    if len(ids) - len(gone) != len(living):
        raise StorageFault("the new index lacks chunks that live")

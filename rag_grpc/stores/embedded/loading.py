"""Making a collection's index from the database, at a start or when an index failed.

All vectors are read once, in order of their ids, which is how they lie on the disk;
the flat file is written anew, so it is never a question whether it fits. The graph
comes from the newest snapshot that verifies and holds every living chunk up to its
last; what came since is put in by the index thread. Without one the whole graph is
built again: slower, and as right.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Self

import apsw
import numpy as np
import structlog

from rag_grpc.core.errors import NotReady
from rag_grpc.core.models import Collection, CollectionCounts
from rag_grpc.core.ports import MetadataCodec, Telemetry
from rag_grpc.stores.embedded.awake_words import AwakeWords
from rag_grpc.stores.embedded.collection_rows import CollectionRow
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.dense_index import DenseIndex, IndexParameters
from rag_grpc.stores.embedded.effects import Version
from rag_grpc.stores.embedded.filter_index import FilterIndex
from rag_grpc.stores.embedded.folder import DataFolder
from rag_grpc.stores.embedded.kept_filters import COLUMNS, FILE, FiltersUnusable, read_filters
from rag_grpc.stores.embedded.lexical_rows import LexicalLoader
from rag_grpc.stores.embedded.migrations import first_id
from rag_grpc.stores.embedded.snapshots import Manifest, SnapshotUnusable, load, remove, snapshots, verify

log = structlog.get_logger(__name__)

SLICE_ROWS = 4096


class IndexLoader:
    """Makes indexes from a database and snapshots."""

    def __init__(
        self,
        folder: DataFolder,
        parameters: IndexParameters,
        codec: MetadataCodec,
        telemetry: Telemetry,
        *,
        lexical: LexicalLoader,
        awake: AwakeWords,
    ) -> None:
        """Name where things are."""
        self._awake = awake
        self._lexical = lexical
        self._folder = folder
        self._codec = codec
        self._parameters = parameters
        self._telemetry = telemetry
        self.stopping = False

    def state(self, connection: apsw.Connection, row: CollectionRow, seq: int) -> CollectionState:
        """Load one collection as of `seq`, the last one committed. Raises StorageFull and apsw.Error."""
        beside = self._folder.index_folder(row.collection.id)
        with VerifiedBeside(beside, row, self._parameters, seq) as verified:
            state = self._state(connection, row, seq)
            self._adopt_snapshot(state, verified)
        # What lies on the disk is as of now where nothing was written since: a stop need not save it again.
        if unwritten_since(connection, row.collection.id, state.snapshot_seq):
            state.snapshot_seq = seq
        if unwritten_since(connection, row.collection.id, state.filters_seq):
            state.filters_seq = seq
        state.publish(seq, state.view.counts)
        state.words_used()
        return state

    def _state(self, connection: apsw.Connection, row: CollectionRow, seq: int) -> CollectionState:
        """Load all but the graph."""
        index = self.vectors(connection, row)
        counts = CollectionCounts(row.counters.documents, row.counters.chunks)
        filters, filters_seq = self._kept_or_made_filters(connection, row, seq)
        try:
            lexical, fault = self._lexical.load_or_explain(connection, row, seq)
        except BaseException:
            index.close()
            raise
        state = CollectionState(
            row.collection,
            row.side,
            index,
            filters,
            lexical,
            seq=seq,
            counts=counts,
            awake=self._awake,
            lexical_fault=fault,
        )
        state.births, state.filters_seq = index.vectors.slots.length, filters_seq
        return state

    def _kept_or_made_filters(
        self, connection: apsw.Connection, row: CollectionRow, seq: int
    ) -> tuple[FilterIndex, int]:
        """Return what filters ask, and as of which seq that lies on the disk, -1 where it does not."""
        folder = self._folder.index_folder(row.collection.id)
        try:
            kept = read_filters(connection, row, self._codec, folder, seq)
        except FiltersUnusable as error:
            log.warning("filters_refused", collection=row.collection.name, reason=str(error))
            (folder / FILE).unlink(missing_ok=True)
            kept = None
        return kept or (self.filters(connection, row.collection), -1)

    def filters(self, connection: apsw.Connection, collection: Collection) -> FilterIndex:
        """Read what filters ask of the living documents. Raises NotReady and apsw.Error."""
        index = FilterIndex(self._codec)
        behind, end = first_id(collection.id), first_id(collection.id + 1)
        while True:
            rows: Any = connection.execute(
                f"SELECT {COLUMNS} FROM document"  # noqa: S608  # constant
                " WHERE key > ? AND key < ? AND dead IS NULL ORDER BY key LIMIT ?",
                (behind, end, SLICE_ROWS),
            ).fetchall()
            if not rows:
                return index
            if self.stopping:
                raise NotReady("the store was told to stop while it loaded")
            index.apply([Version(*each) for each in rows], ())
            behind = rows[-1][0]

    def vectors(self, connection: apsw.Connection, row: CollectionRow) -> DenseIndex:
        """Load the living chunks' vectors into a new index without a graph."""
        collection = row.collection
        path = self._folder.new_vector_file(collection.id)
        index = DenseIndex(path, collection, self._parameters, capacity=row.counters.chunks)
        dead = np.array(
            [
                each[0]
                for each in connection.execute(
                    "SELECT key FROM document WHERE collection = ? AND dead IS NOT NULL", (collection.id,)
                )
            ],
            dtype=np.int64,
        )
        behind, end = first_id(collection.id), first_id(collection.id + 1)
        while True:
            rows: Any = connection.execute(
                f"SELECT chunk, content, vector FROM {row.side.table}"  # noqa: S608  # one of two
                " WHERE chunk > ? AND chunk < ? ORDER BY chunk LIMIT ?",
                (behind, end, SLICE_ROWS),
            ).fetchall()
            if not rows:
                return index
            if self.stopping:
                index.close()
                raise NotReady("the store was told to stop while it loaded")
            behind = rows[-1][0]
            ids = np.array([each[0] for each in rows], dtype=np.int64)
            contents = np.array([each[1] for each in rows], dtype=np.int64)
            vectors = np.frombuffer(b"".join([each[2] for each in rows]), dtype="<f4")
            vectors = vectors.reshape(len(rows), collection.dimension)
            if len(dead):
                living = ~np.isin(contents, dead)
                ids, contents, vectors = ids[living], contents[living], vectors[living]
            index.load(ids, contents, vectors)

    def _adopt_snapshot(self, state: CollectionState, verified: VerifiedBeside) -> None:
        """Take the newest snapshot that can be trusted; remove the others."""
        for path in verified.paths:
            try:
                manifest = self._adopt(state, path, verified.manifest(path))
            except SnapshotUnusable as error:
                log.warning("snapshot_refused", collection=state.collection.name, reason=str(error))
                self._telemetry.event("snapshot_refused")
                remove(path)
                continue
            state.snapshot_seq = manifest.seq
            state.snapshot_time = manifest.made_at
            state.births = state.index.tail
            for other in verified.paths:
                if other != path:
                    # A kill came between it and the one that took its place.
                    remove(other)
            log.info(
                "snapshot_used",
                collection=state.collection.name,
                chunks=manifest.elements,
                tail=state.index.tail,
            )
            return

    def _adopt(self, state: CollectionState, path: Path, manifest: Manifest) -> Manifest:
        snapshot = load(path, manifest, state.collection, capacity=state.index.vectors.slots.length)
        if not state.index.adopt(snapshot.graph, snapshot.members, manifest.last_chunk):
            raise SnapshotUnusable("it lacks chunks that the database has")
        return manifest


def unwritten_since(connection: apsw.Connection, collection: int, since: int) -> bool:
    """Say whether a collection is the same now as at `since`; -1 is no time at all."""
    if since < 0:
        return False
    start: Any = connection.execute("SELECT log_start FROM collection WHERE id = ?", (collection,)).get
    behind = "SELECT 1 FROM change WHERE collection = ? AND seq > ? LIMIT 1"
    return bool(since >= start) and connection.execute(behind, (collection, since)).fetchone() is None


class VerifiedBeside:
    """Verifies the snapshots of a collection while its rows are read: hashing needs no GIL."""

    def __init__(self, folder: Path, row: CollectionRow, parameters: IndexParameters, seq: int) -> None:
        self.paths = snapshots(folder)
        self._verify = partial(verify, collection=row.collection, parameters=parameters, seq=seq)
        self._pool = ThreadPoolExecutor(1, "verify")
        self._manifests: dict[Path, Future[Manifest]] = {}

    def __enter__(self) -> Self:
        self._manifests = {path: self._pool.submit(self._verify, path) for path in self.paths}
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def manifest(self, path: Path) -> Manifest:
        """Wait for one of them. Raises SnapshotUnusable."""
        return self._manifests[path].result()

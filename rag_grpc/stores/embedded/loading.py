"""Making a collection's index from the database, at a start or when an index failed.

All vectors are read once, in order of their ids, which is how they lie on the disk;
the flat file is written anew, so it is never a question whether it fits. The graph
comes from the newest snapshot that verifies and holds every living chunk up to its
last; what came since is put in by the index thread. Without one the whole graph is
built again: slower, and as right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from rag_grpc.stores.embedded.lexical_rows import LexicalLoader
from rag_grpc.stores.embedded.migrations import first_id
from rag_grpc.stores.embedded.snapshots import Manifest, SnapshotUnusable, load, remove, snapshots

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
        index = self.vectors(connection, row)
        counts = CollectionCounts(row.counters.documents, row.counters.chunks)
        filters = self.filters(connection, row.collection)
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
        state.births = index.vectors.slots.length
        self._adopt_snapshot(state)
        state.publish(seq, counts)
        state.words_used()
        return state

    def filters(self, connection: apsw.Connection, collection: Collection) -> FilterIndex:
        """Read what filters ask of the living documents. Raises NotReady and apsw.Error."""
        index = FilterIndex(self._codec)
        behind, end = first_id(collection.id), first_id(collection.id + 1)
        while True:
            rows: Any = connection.execute(
                "SELECT key, first_chunk, chunk_count, doc_id, title, create_time, update_time, metadata"
                " FROM document WHERE key > ? AND key < ? AND dead IS NULL ORDER BY key LIMIT ?",
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
            living = ~np.isin(contents, dead)
            vectors = vectors.reshape(len(rows), collection.dimension)[living]
            index.load(ids[living], contents[living], vectors)

    def _adopt_snapshot(self, state: CollectionState) -> None:
        """Take the newest snapshot that can be trusted; remove the others."""
        folder = self._folder.index_folder(state.collection.id)
        for path in snapshots(folder):
            try:
                manifest = self._adopt(state, path)
            except SnapshotUnusable as error:
                log.warning("snapshot_refused", collection=state.collection.name, reason=str(error))
                self._telemetry.event("snapshot_refused")
                remove(path)
                continue
            state.snapshot_seq = manifest.seq
            state.snapshot_time = manifest.made_at
            state.births = state.index.tail
            log.info(
                "snapshot_used",
                collection=state.collection.name,
                chunks=manifest.elements,
                tail=state.index.tail,
            )
            return

    def _adopt(self, state: CollectionState, path: Path) -> Manifest:
        snapshot = load(path, state.collection, self._parameters, capacity=state.index.vectors.slots.length)
        if not state.index.adopt(snapshot.graph, snapshot.members, snapshot.manifest.last_chunk):
            raise SnapshotUnusable("it lacks chunks that the database has")
        return snapshot.manifest

"""The parent's side of making a snapshot: starts the child, and takes what it made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from time import monotonic

import structlog

from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.folder import DataFolder
from rag_grpc.stores.embedded.snapshot_maker import Order
from rag_grpc.stores.embedded.snapshots import SnapshotUnusable, publish, read_manifest, snapshots

log = structlog.get_logger(__name__)


class SnapshotChild:
    """A child at work for one collection. All of it belongs to the index thread."""

    def __init__(self, state: CollectionState, folder: DataFolder, parameters: IndexParameters) -> None:
        """Start the child for what is committed now. Raises OSError where no process can be started."""
        self.state = state
        self.side = state.side
        self.failed = False
        self._began = monotonic()
        self._births = state.births
        index_folder = folder.index_folder(state.collection.id)
        self._making = index_folder / f"making-{state.view.seq}"
        shutil.rmtree(self._making, ignore_errors=True)
        order = _order(state, folder, parameters, self._making, index_folder)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rag_grpc.stores.embedded.snapshot_maker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        if self._process.stdin is not None:
            # stdin stays open: the child ends when it closes, so it never outlives this process.
            self._process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def obsolete(self) -> bool:
        """Whether nobody wants its snapshot: the collection is gone, or has another embedder."""
        return self.state.dropped or self.state.side != self.side

    def finished(self) -> bool:
        """Whether the child has ended; then its snapshot was taken, or its failure logged."""
        status = self._process.poll()
        if status is None:
            return False
        _, errors = self._process.communicate()
        collection = self.state.collection.name
        if status != 0:
            log.warning(
                "snapshot_failed",
                collection=collection,
                status=status,
                error=errors.decode(errors="replace")[-500:],
            )
            shutil.rmtree(self._making, ignore_errors=True)
            self.failed = True
            return True
        try:
            manifest = read_manifest(self._making)
            publish(self._making, manifest.seq)
        except (OSError, SnapshotUnusable) as error:
            log.warning("snapshot_failed", collection=collection, status=status, error=str(error))
            shutil.rmtree(self._making, ignore_errors=True)
            self.failed = True
            return True
        self.state.births -= self._births
        self.state.snapshot_seq = manifest.seq
        self.state.snapshot_time = manifest.made_at
        log.info(
            "snapshot_made",
            collection=collection,
            chunks=manifest.elements,
            seconds=round(monotonic() - self._began, 1),
        )
        return True

    def stop(self) -> None:
        """End the child, and forget what it made."""
        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self._making, ignore_errors=True)


def _order(
    state: CollectionState, folder: DataFolder, parameters: IndexParameters, making: Path, index_folder: Path
) -> Order:
    view = state.view
    slots = view.dense.slots
    older = snapshots(index_folder)
    return Order(
        database=str(folder.database),
        making=str(making),
        base=str(older[0]) if older else "",
        collection_id=state.collection.id,
        uid=state.collection.uid,
        embedder_fingerprint=view.side.fingerprint,
        table=view.side.table,
        dimension=slots.rows.shape[1],
        metric=state.collection.metric.value,
        m=parameters.m,
        ef_construction=parameters.ef_construction,
        seq=view.seq,
        last_chunk=int(slots.ids[slots.length - 1]),
        rows=view.counts.chunks,
        dead_share=parameters.compact_dead_share,
    )

"""The child process that makes a snapshot beside the serving one.

A process of its own, because hnswlib holds the GIL while it writes a graph, and the
graph must not change meanwhile: in the server that would be a pause of seconds. The
child loads the last snapshot, takes from the database's change log what came since
(or everything, where the log does not reach back), writes the new snapshot under a
temporary name, and ends. The parent, who holds the folder's lock, verifies it and
gives it its name. It runs niced, on one thread, reads in short transactions so that
the write-ahead log can be emptied meanwhile, and never writes to the database.

Its order comes as one JSON line on stdin. It ends when stdin closes: a killed parent
leaves no child behind.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import numpy as np

from rag_grpc.core.models import Chunking, Collection, Metric
from rag_grpc.stores.embedded.database import open_reader
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.dense_search import comparable
from rag_grpc.stores.embedded.graph import Graph
from rag_grpc.stores.embedded.migrations import first_id
from rag_grpc.stores.embedded.snapshots import Snapshot, SnapshotUnusable, load, write_snapshot
from rag_grpc.stores.embedded.vector_file import Ids, Rows

SLICE_ROWS = 2048


@dataclass(frozen=True, slots=True)
class Order:
    """What to make: everything that was committed by `seq`.

    `rows` is about how many chunks that will be. `dead_share` is the part of a snapshot that may be dead for
    it to be carried on: else it would grow with every replacement, for ever.
    """

    database: str
    making: str
    base: str
    collection_id: int
    uid: str
    embedder_fingerprint: str
    table: str
    dimension: int
    metric: str
    m: int
    ef_construction: int
    seq: int
    last_chunk: int
    rows: int
    dead_share: float

    @property
    def collection(self) -> Collection:
        """The collection, as far as an index knows it."""
        return Collection(
            id=self.collection_id,
            uid=self.uid,
            name="",
            embedder="",
            embedder_fingerprint=self.embedder_fingerprint,
            dimension=self.dimension,
            metric=Metric(self.metric),
            chunking=Chunking(),
            language="",
            create_time=0,
        )


def main() -> None:
    """Make the snapshot that stdin asks for."""
    order = Order(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(19)
    make(order)


def make(order: Order) -> None:
    """Build the graph as of the order's seq and write it. Raises OSError and apsw.Error."""
    parameters = IndexParameters(m=order.m, ef_construction=order.ef_construction)
    reader = open_reader(Path(order.database))
    base = _base(order, reader, parameters)
    if base is None:
        graph = Graph(
            dimension=order.dimension,
            metric=Metric(order.metric),
            m=order.m,
            ef_construction=order.ef_construction,
            capacity=order.rows,
        )
        members, dead = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        first = first_id(order.collection_id)
    else:
        graph, members = base.graph, base.members
        dead = _deaths(order, reader, base.manifest.seq)
        # Ids only grow, so what came since is above the last one that the base looked at.
        first = base.manifest.last_chunk
    added = [members]
    for ids, rows in _vectors(order, reader, first):
        graph.add(ids, rows, covered=0, threads=1)
        added.append(ids)
    members = np.concatenate(added)
    gone = np.intersect1d(members, dead, assume_unique=True)
    graph.mark_dead(gone)
    living = np.setdiff1d(members, gone, assume_unique=True)
    write_snapshot(
        Path(order.making),
        graph,
        living,
        collection=order.collection,
        seq=order.seq,
        last_chunk=order.last_chunk,
        parameters=parameters,
    )


def _base(order: Order, reader: apsw.Connection, parameters: IndexParameters) -> Snapshot | None:
    if not order.base:
        return None
    try:
        base = load(Path(order.base), order.collection, parameters, capacity=order.rows)
    except SnapshotUnusable:
        return None
    if base.manifest.marked > order.dead_share * base.manifest.elements:
        return None
    row = reader.execute("SELECT log_start FROM collection WHERE id = ?", (order.collection_id,)).fetchone()
    return base if row is not None and int(str(row[0])) <= base.manifest.seq else None


def _deaths(order: Order, reader: apsw.Connection, since: int) -> Ids:
    """Return the chunks that died behind `since`, by the change log."""
    rows = reader.execute(
        "SELECT first_chunk, chunk_count FROM change"
        " WHERE collection = ? AND op = 'dead' AND seq > ? AND seq <= ?",
        (order.collection_id, since, order.seq),
    ).fetchall()
    ranges = [np.arange(int(str(first)), int(str(first)) + int(str(count))) for first, count in rows]
    return np.unique(np.concatenate(ranges)).astype(np.int64) if ranges else np.empty(0, dtype=np.int64)


def _vectors(order: Order, reader: apsw.Connection, behind: int) -> Iterator[tuple[Ids, Rows]]:
    """Read the vectors of chunks behind an id, in slices, up to the last one of the order."""
    while True:
        rows = reader.execute(
            f"SELECT chunk, vector FROM {order.table}"  # noqa: S608  # one of two
            " WHERE chunk > ? AND chunk <= ? ORDER BY chunk LIMIT ?",
            (behind, order.last_chunk, SLICE_ROWS),
        ).fetchall()
        if not rows:
            return
        ids = np.array([row[0] for row in rows], dtype=np.int64)
        packed = b"".join(bytes(row[1]) for row in rows)  # type: ignore[arg-type]  # a BLOB column
        vectors = np.frombuffer(packed, dtype="<f4").reshape(len(rows), order.dimension)
        yield ids, comparable(vectors, Metric(order.metric))
        behind = int(ids[-1])


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()

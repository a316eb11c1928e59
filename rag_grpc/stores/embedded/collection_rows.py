"""The rows that describe collections."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict, dataclass
from typing import Any

import apsw

from rag_grpc.core.errors import CollectionExists, StorageFault
from rag_grpc.core.models import (
    Chunking,
    Collection,
    CollectionSpec,
    Metric,
)
from rag_grpc.stores.embedded.effects import Counters
from rag_grpc.stores.embedded.side import Side

COLUMNS = "id, uid, name, embedder, embedder_fingerprint, dimension, metric, chunking, language, create_time"


@dataclass(frozen=True, slots=True)
class CollectionRow:
    """A collection with its counters, and where its vectors lie."""

    collection: Collection
    counters: Counters
    side: Side


def read_collections(connection: apsw.Connection) -> list[CollectionRow]:
    """Read all collections that were not dropped."""
    rows: Any = connection.execute(
        f"SELECT {COLUMNS}, next_document, next_chunk, documents, chunks, side"  # noqa: S608  # constants
        " FROM collection WHERE dropped = 0 ORDER BY id"
    ).fetchall()
    return [_row(_collection(row[:10]), Counters(*row[10:14]), row[14]) for row in rows]


def read_dropped(connection: apsw.Connection) -> list[int]:
    """Read the ids of collections that were dropped and still have rows."""
    return [int(str(row[0])) for row in connection.execute("SELECT id FROM collection WHERE dropped = 1")]


def insert_collection(connection: apsw.Connection, spec: CollectionSpec, fingerprint: str) -> CollectionRow:
    """Make a collection, durably. Raises CollectionExists and apsw.Error."""
    metric = spec.metric or Metric.COSINE
    chunking = spec.chunking or Chunking()
    with connection:
        try:
            row = connection.execute(
                "INSERT INTO collection (uid, name, embedder, embedder_fingerprint,"  # noqa: S608  # constants
                " dimension, metric, chunking, language, create_time) VALUES (?,?,?,?,?,?,?,?,?)"
                f" RETURNING {COLUMNS}",
                (
                    uuid.uuid4().hex,
                    spec.name,
                    spec.embedder,
                    fingerprint,
                    spec.dimension,
                    metric.value,
                    json.dumps(asdict(chunking)),
                    spec.language,
                    time.time_ns(),
                ),
            ).fetchone()
        except apsw.ConstraintError as error:
            raise CollectionExists(f"collection {spec.name!r} exists already") from error
    if row is None:
        raise StorageFault("the new collection has no row")
    return _row(_collection(row), Counters(1, 1, 0, 0), 0)


def drop_collection(connection: apsw.Connection, collection_id: int) -> None:
    """Take a collection out of sight, durably; its rows are purged later."""
    with connection:
        connection.execute("UPDATE collection SET dropped = 1 WHERE id = ?", (collection_id,))


def rename_embedder(connection: apsw.Connection, collection_id: int, name: str) -> None:
    """Give the collection's embedder another name, durably."""
    with connection:
        connection.execute("UPDATE collection SET embedder = ? WHERE id = ?", (name, collection_id))


def _row(collection: Collection, counters: Counters, side: int) -> CollectionRow:
    return CollectionRow(collection, counters, Side(side, collection.embedder_fingerprint))


def _collection(row: Any) -> Collection:
    id_, uid, name, embedder, fingerprint, dimension, metric, chunking, language, create_time = row
    return Collection(
        id=id_,
        uid=uid,
        name=name,
        embedder=embedder,
        embedder_fingerprint=fingerprint,
        dimension=dimension,
        metric=Metric(metric),
        chunking=Chunking(**json.loads(chunking)),
        language=language,
        create_time=create_time,
    )

"""What filters ask, kept over a restart: to make it of a million documents' rows takes a dozen seconds.

    filters.bin     one line of SHA-256 over all that follows, one line of JSON, then the parts

Written with each snapshot of the graph and at a clean stop, under another name first.
Like a snapshot it is as of a seq, and what changed since is read from the log of changes;
it is believed only where its checksum holds, the log reaches back to it, and in the end
it knows as many documents as the database counts. Else it is made of the rows.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from rag_grpc.core.ports import MetadataCodec
from rag_grpc.stores.embedded.collection_rows import CollectionRow
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.dense_index import Died
from rag_grpc.stores.embedded.effects import Version
from rag_grpc.stores.embedded.filter_index import FilterIndex
from rag_grpc.stores.embedded.kept_parts import PartsIn, PartsOut
from rag_grpc.stores.embedded.snapshots import sync

FORMAT: Final = 2
"""Changes when what is written does."""
FILE: Final = "filters.bin"
SLICE_CONTENTS: Final = 500
COLUMNS: Final = "key, first_chunk, chunk_count, doc_id, title, create_time, update_time, metadata"
"""Those of a Version."""


class FiltersUnusable(Exception):
    """What was kept is not whole, not of this collection, or older than the log of changes."""


@dataclass(frozen=True, slots=True)
class Head:
    """What was kept, and as of which seq."""

    format: int
    byteorder: str
    uid: str
    seq: int


def keep_filters(state: CollectionState, folder: Path) -> None:
    """Write a collection's filters into its index folder. Raises OSError.

    Writes wait while the arrays are copied, some 50 ms for a million documents.
    """
    out = PartsOut()
    with state.following:
        if state.fault:
            return
        head = Head(FORMAT, sys.byteorder, state.collection.uid, state.view.seq)
        state.filters.write(out)
        before = state.filters_seq
        if before < 0:
            # From now on the log is kept for them, else they could be too old for it before they are written.
            state.filters_seq = head.seq
    try:
        _write(folder, [json.dumps(asdict(head)).encode() + b"\n", *out.parts()])
    except BaseException:
        state.filters_seq = before
        raise
    state.filters_seq = head.seq


def _write(folder: Path, parts: list[Any]) -> None:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    making = folder / f"making-{FILE}"
    try:
        with making.open("wb") as file:
            file.write(digest.hexdigest().encode() + b"\n")
            file.writelines(parts)
        sync(making)
        making.replace(folder / FILE)
    except BaseException:
        # Where the disk is full it would hold what others need.
        making.unlink(missing_ok=True)
        raise
    sync(folder)


def read_filters(
    connection: apsw.Connection, row: CollectionRow, codec: MetadataCodec, folder: Path, seq: int
) -> tuple[FilterIndex, int] | None:
    """Return what was kept, brought up to `seq`, the last one committed, and as of which seq it was kept.

    None where nothing was kept. Raises FiltersUnusable and apsw.Error.
    """
    try:
        written = memoryview((folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FiltersUnusable(str(error)) from error
    try:
        head, body = _verified(written)
        if (head.format, head.byteorder, head.uid) != (FORMAT, sys.byteorder, row.collection.uid):
            raise FiltersUnusable("it is of another format or collection")
        if head.seq > seq:
            # An older database was put beside it: what it has may never have been, or have gone another way.
            raise FiltersUnusable(f"it is as of seq {head.seq}, and the database of {seq}")
        index = FilterIndex.read(codec, PartsIn(body))
    except (ValueError, TypeError, KeyError) as error:
        raise FiltersUnusable(f"it cannot be read: {error}") from error
    _catch_up(connection, index, row.collection.id, head.seq)
    if index.documents != row.counters.documents:
        raise FiltersUnusable(f"it knows {index.documents} documents, the database {row.counters.documents}")
    return index, head.seq


def _verified(written: memoryview) -> tuple[Head, memoryview]:
    digest, rest = _line(written)
    if hashlib.sha256(rest).hexdigest().encode() != digest:
        raise FiltersUnusable("it has another checksum")
    head, body = _line(rest)
    return Head(**json.loads(head)), body


def _line(written: memoryview) -> tuple[bytes, memoryview]:
    end = bytes(written[:1000]).index(b"\n")
    return bytes(written[:end]), written[end + 1 :]


def _catch_up(connection: apsw.Connection, index: FilterIndex, collection: int, since: int) -> None:
    """Take in what changed behind `since`; it does not matter what of it the index has already."""
    start: Any = connection.execute("SELECT log_start FROM collection WHERE id = ?", (collection,)).get
    if since < start:
        raise FiltersUnusable("it is older than the log of changes")
    rows: Any = connection.execute(
        "SELECT DISTINCT content, first_chunk, chunk_count FROM change"
        " WHERE collection = ? AND seq > ? ORDER BY content",
        (collection, since),
    ).fetchall()
    for first in range(0, len(rows), SLICE_CONTENTS):
        changed = rows[first : first + SLICE_CONTENTS]
        versions = {version.content: version for version in _living(connection, [row[0] for row in changed])}
        gone = [Died(row[1], row[2], since) for row in changed if row[0] not in versions]
        index.apply(list(versions.values()), gone)


def _living(connection: apsw.Connection, contents: list[int]) -> Iterator[Version]:
    marks = ",".join("?" * len(contents))
    rows: Any = connection.execute(
        f"SELECT {COLUMNS} FROM document WHERE key IN ({marks}) AND dead IS NULL ORDER BY key",  # noqa: S608
        contents,
    )
    yield from (Version(*each) for each in rows)

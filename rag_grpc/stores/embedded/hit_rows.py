"""Reading the rows of hits, as of a view's seq.

A search reads its rows after newer writes may have been committed, so a hit's
document is taken as of the view: its row carries the newest version of that content,
and if that is newer than the view, `document_past` has the one that was current.
The ids of a batch of searches are bound as one array: single look-ups cost five times
as much. And the rows come as one JSON text, which SQLite puts together and orjson takes
apart. Between two rows apsw lets go of the GIL, and under load another thread takes it for
a while: `BatchQuery` answers a tenth more without those gaps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import apsw
import numpy as np
import orjson
from numpy.typing import NDArray

from rag_grpc.core.errors import LimitExceeded, StorageFault
from rag_grpc.core.models import Chunk, Vector
from rag_grpc.core.ports import HitCodec
from rag_grpc.core.searches import Hit, HitParts, Selected

FEW_ROWS = 100
"""So many are read without a look at their size."""
ROWS_AT_ONCE = 64
SHORT_ROWS_AT_ONCE = 1024
"""Without texts a row has some fifty bytes, and each statement lets another thread take the GIL."""
MOST_CHARACTERS = 32 * 1024 * 1024
"""Of JSON, in which metadata and vectors have two digits a byte, read for searches that are answered
together, or else for one: eight times what a response may have, since a caller may want few of the metadata's
keys."""


class PackedRow(NamedTuple):
    """A hit as the edge sends it, and the revision of its document, which may be newer than what it shows."""

    packed: bytes
    revision: int


def vector_of(packed: bytes) -> Vector:
    """Return a stored vector: shape (dimension,), float32, read-only."""
    return np.frombuffer(packed, dtype="<f4")


def headings_of(stored: str | None) -> tuple[str, ...]:
    """Return a chunk's headings, outermost first."""
    return tuple(json.loads(stored)) if stored else ()


@cache
def _hits_statement(parts: HitParts, table: str) -> str:
    wanted = ["c.id", "d.doc_id", "c.ordinal", "c.start_offset", "c.end_offset", "c.headings"]
    if not parts.places_alone:
        wanted += [
            "c.text" if parts.text else "''",
            "hex(e.vector)" if parts.vectors else "NULL",
            "d.key",
            "d.revision",
            "d.title" if parts.title else "''",
            "hex(d.metadata)" if parts.metadata else "NULL",
        ]
    join = f"CROSS JOIN {table} e ON e.chunk = c.id" if parts.vectors else ""
    # CROSS JOIN keeps the order of the tables: SQLite would guess how many values the list has.
    return (
        f"SELECT json_group_array(json_array({', '.join(wanted)})) "  # noqa: S608 # constants
        f"FROM carray(?) wanted CROSS JOIN chunk c ON c.id = wanted.value "
        f"CROSS JOIN document d ON d.key = c.content {join}"
    )


_PLACES_ALONE = HitParts(text=False, title=False, metadata=False)


def read_places(reader: apsw.Connection, chunks: NDArray[np.int64]) -> dict[int, tuple[str, Chunk]] | None:
    """Read the document's id and the chunk, without text and vector, of each chunk that has a row.

    None where that is more than fits any answer.
    """
    rows = _rows(reader, chunks, _hits_statement(_PLACES_ALONE, ""), SHORT_ROWS_AT_ONCE)
    if rows is None:
        return None
    return {
        chunk: (doc_id, Chunk(ordinal, "", start, end, headings_of(headings)))
        for chunk, doc_id, ordinal, start, end, headings in rows
    }


def read_packed(
    reader: apsw.Connection,
    chunks: NDArray[np.int64],
    seq: int,
    parts: HitParts,
    codec: HitCodec,
    *,
    held: int = 0,
) -> dict[int, PackedRow] | None:
    """Read what hits say of chunks as of `seq`, packed, where there are rows; `parts` are without vectors.

    None where that is more than fits any answer, with `held` bytes of other hits for the same searches.
    """
    statement = _hits_statement(parts, "")
    rows = _rows(reader, chunks, statement, ROWS_AT_ONCE, held=held) if len(chunks) else []
    if rows is None:
        return None
    packed: dict[int, PackedRow] = {}
    for id_, doc_id, ordinal, start, end, headings, text, _, key, revision, title, metadata in rows:
        if revision > seq:
            title, metadata = _past(reader, key, seq, parts)  # noqa: PLW2901
        elif metadata is not None:
            metadata = bytes.fromhex(metadata)  # noqa: PLW2901
        chunk = _tuple(Chunk, (ordinal, text, start, end, headings_of(headings) if headings else (), None))
        packed[id_] = _tuple(PackedRow, (codec.pack(doc_id, chunk, title, metadata), revision))
    return packed


def read_hits(
    reader: apsw.Connection, selections: Sequence[Sequence[Selected]], seq: int, parts: HitParts, table: str
) -> list[tuple[Hit, ...] | StorageFault | LimitExceeded]:
    """Read the rows of what several searches selected as of `seq`, each in its order.

    `table` is the one that the vectors lie in. A selection is a StorageFault where a row is not there: then
    the index and the database disagree. It is LimitExceeded where its rows are more than fit any answer.
    """
    wanted = {each.chunk for selected in selections for each in selected}
    if not wanted:
        return [() for _ in selections]
    places_alone = parts.places_alone
    at_once = SHORT_ROWS_AT_ONCE if places_alone else ROWS_AT_ONCE
    ids = np.fromiter(wanted, np.int64, len(wanted))
    rows = _rows(reader, ids, _hits_statement(parts, table), at_once)
    if rows is None:
        if len(selections) > 1:
            return [each for one in selections for each in read_hits(reader, [one], seq, parts, table)]
        return [
            LimitExceeded(
                f"the hits hold more than {MOST_CHARACTERS} characters of text, metadata and vectors: lower"
                " `top_k`, or `omit` them"
            )
        ]
    by_chunk = {row[0]: row for row in rows}
    if places_alone:
        return [_places(selected, by_chunk) for selected in selections]
    return [_hits(reader, selected, by_chunk, seq, parts) for selected in selections]


def _rows(
    reader: apsw.Connection, ids: NDArray[np.int64], statement: str, at_once: int, *, held: int = 0
) -> list[list[Any]] | None:
    """Read rows, `at_once` at a time; None where they, and `held` bytes, grow too large."""
    rows: list[list[Any]] = []
    room = MOST_CHARACTERS - held
    for begin in range(0, len(ids), at_once):
        try:
            found: Any = reader.execute(statement, (apsw.carray(ids[begin : begin + at_once]),)).get
        except apsw.TooBigError:  # above what SQLite itself puts together, a thousand million bytes
            return None
        room -= len(found)
        if room < 0 and len(ids) > FEW_ROWS:
            return None
        rows += orjson.loads(found)
    return rows


def _places(selected: Sequence[Selected], rows: dict[int, list[Any]]) -> tuple[Hit, ...] | StorageFault:
    """Make hits without text, title, metadata and vector."""
    hits = []
    for each in selected:
        row = rows.get(each[0])
        if row is None:
            return missing(each.chunk)
        _, doc_id, ordinal, start, end, headings = row
        chunk = _tuple(Chunk, (ordinal, "", start, end, headings_of(headings) if headings else (), None))
        hits.append(_tuple(Hit, (doc_id, chunk, "", None, *each[2:])))
    return tuple(hits)


def missing(chunk: int) -> StorageFault:
    """Say that index and database disagree."""
    return StorageFault(f"chunk {chunk} was found, but is not in the database")


def _hits(
    reader: apsw.Connection,
    selected: Sequence[Selected],
    rows: dict[int, list[Any]],
    seq: int,
    parts: HitParts,
) -> tuple[Hit, ...] | StorageFault:
    hits = []
    for each in selected:
        row = rows.get(each[0])
        if row is None:
            return missing(each.chunk)
        _, doc_id, ordinal, start, end, headings, text, vector, key, revision, title, metadata = row
        if metadata is not None:
            metadata = bytes.fromhex(metadata)
        if revision > seq:
            title, metadata = _past(reader, key, seq, parts)
        place = headings_of(headings) if headings else ()
        # Made as the tuples that they are: their constructors take as long as the database takes for a row.
        chunk = _tuple(
            Chunk,
            (ordinal, text, start, end, place, None if vector is None else vector_of(bytes.fromhex(vector))),
        )
        hits.append(_tuple(Hit, (doc_id, chunk, title, metadata, *each[2:])))
    return tuple(hits)


_tuple: Any = tuple.__new__


def _past(reader: apsw.Connection, key: int, seq: int, parts: HitParts) -> tuple[str, bytes | None]:
    """Return title and metadata that a content had at `seq`, as far as they were asked for."""
    row: Any = reader.execute(
        "SELECT title, metadata FROM document_past WHERE key = ? AND revision <= ? AND dead > ?",
        (key, seq, seq),
    ).fetchone()
    if row is None:
        raise StorageFault(f"version {seq} of content {key} is not in the database")
    title, metadata = row
    return title if parts.title else "", metadata if parts.metadata else None

"""Making a collection's index of words from the database, or bringing it up to date.

The newest folder that can be trusted is taken. What changed since is read from the
log: contents that came or went since are deleted, and added again where they live, so
that it does not matter whether the index had them already. In the end the index must
hold as many chunks as the database counts; in doubt it is made anew, which takes a
second for some thousand chunks.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any, Final

import apsw
import structlog

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.errors import NotReady
from rag_grpc.core.models import Collection
from rag_grpc.core.ports import Telemetry
from rag_grpc.stores.embedded.awake_words import WriterPlaces
from rag_grpc.stores.embedded.collection_rows import CollectionRow
from rag_grpc.stores.embedded.effects import Stored
from rag_grpc.stores.embedded.folder import DataFolder
from rag_grpc.stores.embedded.hit_rows import headings_of
from rag_grpc.stores.embedded.lexical_folder import LexicalFault, folders, new_folder
from rag_grpc.stores.embedded.lexical_index import LexicalIndex
from rag_grpc.stores.embedded.lexical_schema import ChunkText
from rag_grpc.stores.embedded.migrations import first_id

log = structlog.get_logger(__name__)

SLICE_CHUNKS: Final = 1000
SLICE_CONTENTS: Final = 500

COLUMNS: Final = "c.id, c.content, d.title, c.headings, c.text"


class LexicalLoader:
    """Opens and makes indexes of words. In the thread that has the database."""

    def __init__(self, folder: DataFolder, analyzer: Analyzer, telemetry: Telemetry) -> None:
        """Name where things are; set `stopping` to have it give up soon."""
        self._folder = folder
        self._analyzer = analyzer
        self._telemetry = telemetry
        self._places = WriterPlaces()
        self.stopping = False

    def load(self, connection: apsw.Connection, row: CollectionRow, seq: int) -> LexicalIndex:
        """Return the index as of `seq`, the last one committed. Raises LexicalFault, NotReady, apsw.Error."""
        collection = row.collection
        opened: LexicalIndex | None = None
        for path in folders(self._folder.index_folder(collection.id)):
            if opened is None:
                opened = self._opened(connection, row, path, seq)
                if opened is not None:
                    continue
            shutil.rmtree(path, ignore_errors=True)
        return self.make(connection, row, seq) if opened is None else opened

    def load_or_explain(
        self, connection: apsw.Connection, row: CollectionRow, seq: int
    ) -> tuple[LexicalIndex, str]:
        """Return the index as of `seq`, and why it is no use: "" where it is. Raises NotReady, apsw.Error.

        A disk without room must not keep a server from starting that could answer all else.
        """
        try:
            return self.load(connection, row, seq), ""
        except (LexicalFault, OSError) as error:
            log.error("lexical_index_failed", collection=row.collection.name, error=str(error))  # noqa: TRY400
            path = new_folder(self._folder.index_folder(row.collection.id))
            return LexicalIndex(row.collection, self._analyzer, path, seq=-1, places=self._places), str(error)

    def make(self, connection: apsw.Connection, row: CollectionRow, seq: int) -> LexicalIndex:
        """Make an index anew, of a database that nobody writes. Raises LexicalFault, NotReady, apsw.Error."""
        index = self.build(connection, row.collection, seq)
        try:
            _check(index, row.counters.chunks)
        except LexicalFault:
            index.close(remove=True)
            raise
        if index.chunks:
            log.info("lexical_index_made", collection=row.collection.name, chunks=index.chunks)
        return index

    def build(self, connection: apsw.Connection, collection: Collection, seq: int) -> LexicalIndex:
        """Make an index of the chunks that live; of those that come or go after `seq` it may have any.

        In short reads, so that what is written meanwhile is not kept from the database's file.
        Raises LexicalFault, NotReady, apsw.Error, OSError.
        """
        path = new_folder(self._folder.index_folder(collection.id))
        index = LexicalIndex(collection, self._analyzer, path, seq=-1, places=self._places)
        try:
            for chunks in self._all_chunks(connection, collection.id):
                index.add(chunks)
            index.commit()
            index.finish(seq)
        except BaseException:
            index.close(remove=True)
            raise
        return index

    def complete(self, connection: apsw.Connection, index: LexicalIndex, *, chunks: int, seq: int) -> None:
        """Bring an index up to `seq`, the last one committed, of a collection of so many chunks.

        Raises LexicalFault, apsw.Error, OSError.
        """
        behind = connection.execute(
            "SELECT 1 FROM change WHERE collection = ? AND seq > ? LIMIT 1",
            (index.collection.id, index.durable_seq),
        ).get
        self._catch_up(connection, index)
        _check(index, chunks)
        # Noting it costs an fsync, which is dear where it is done for a thousand collections at a start.
        if behind:
            index.note(seq)
        else:
            index.unchanged(seq)

    def _opened(
        self, connection: apsw.Connection, row: CollectionRow, path: Any, seq: int
    ) -> LexicalIndex | None:
        """Open one and bring it up to date; None where it is no use."""
        index: LexicalIndex | None = None
        try:
            index = LexicalIndex.open(row.collection, self._analyzer, path, self._places)
            self.complete(connection, index, chunks=row.counters.chunks, seq=seq)
        except (LexicalFault, OSError) as error:
            log.warning("lexical_index_refused", collection=row.collection.name, reason=str(error))
            self._telemetry.event("lexical_index_refused")
            if index is not None:
                index.close()
            return None
        return index

    def _catch_up(self, connection: apsw.Connection, index: LexicalIndex) -> None:
        number = index.collection.id
        start: Any = connection.execute("SELECT log_start FROM collection WHERE id = ?", (number,)).get
        if index.durable_seq < start:
            raise LexicalFault("it is older than the log of changes")
        changed = [
            int(str(row[0]))
            for row in connection.execute(
                "SELECT DISTINCT content FROM change WHERE collection = ? AND seq > ? AND op <> 'described'",
                (number, index.durable_seq),
            )
        ]
        for first in range(0, len(changed), SLICE_CONTENTS):
            contents = changed[first : first + SLICE_CONTENTS]
            index.delete(contents)
            index.add(self._chunks_of(connection, contents))
        if changed:
            index.commit()

    def _all_chunks(self, connection: apsw.Connection, collection: int) -> Iterator[list[ChunkText]]:
        behind, end = first_id(collection), first_id(collection + 1)
        while True:
            rows: Any = connection.execute(
                f"SELECT {COLUMNS}, d.dead FROM chunk c JOIN document d ON d.key = c.content"  # noqa: S608 # constant
                " WHERE c.id > ? AND c.id < ? ORDER BY c.id LIMIT ?",
                (behind, end, SLICE_CHUNKS),
            ).fetchall()
            if not rows:
                return
            if self.stopping:
                raise NotReady("the store was told to stop while it loaded")
            behind = rows[-1][0]
            yield [_chunk_text(row) for row in rows if row[5] is None]

    def _chunks_of(self, connection: apsw.Connection, contents: list[int]) -> Iterator[ChunkText]:
        marks = ",".join("?" * len(contents))
        rows: Any = connection.execute(
            f"SELECT {COLUMNS} FROM document d JOIN chunk c"  # noqa: S608  # constants
            " ON c.id >= d.first_chunk AND c.id < d.first_chunk + d.chunk_count"
            f" WHERE d.key IN ({marks}) AND d.dead IS NULL",
            contents,
        )
        yield from map(_chunk_text, rows)


def chunk_texts(stored: Stored) -> list[ChunkText]:
    """Return what the words of a content's chunks are taken from."""
    document = stored.document
    return [
        ChunkText(number, stored.content, document.title, each.headings, each.text)
        for number, each in enumerate(document.chunks, stored.first_chunk)
    ]


def _chunk_text(row: Any) -> ChunkText:
    return ChunkText(row[0], row[1], row[2], headings_of(row[3]), row[4])


def _check(index: LexicalIndex, chunks: int) -> None:
    if index.chunks != chunks:
        raise LexicalFault(f"it holds {index.chunks} chunks, the database {chunks}")

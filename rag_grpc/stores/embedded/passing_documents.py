"""The documents that pass a filter, as of one read transaction.

The view's filter index says which pass as of its seq. The transaction may see newer
writes, and the change log names the documents that they touched: these are evaluated
one by one from their rows. So the answer is of the transaction's moment, exactly,
and no reader waits for a writer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apsw
import numpy as np

from rag_grpc.core.filters import Facts, Filter, matches
from rag_grpc.core.models import Document, DocumentMatch
from rag_grpc.core.ports import DocumentPage, MetadataCodec
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.document_rows import COLUMNS, LIVE, TEXT, document_of
from rag_grpc.stores.embedded.vector_file import Ids

FEW = 4_000
"""So many documents are put into order by reading their ids; more are looked for in the index of ids."""


@dataclass(frozen=True, slots=True)
class PassingDocuments:
    """Reads documents of a collection that pass a filter. Raises NotReady while its index is made anew."""

    state: CollectionState
    filter: Filter
    codec: MetadataCodec

    def count(self, reader: apsw.Connection) -> int:
        """Count them."""
        return len(self._keys(reader))

    def matches(self, reader: apsw.Connection) -> list[DocumentMatch]:
        """Read the id and the revision of its content of each, in no order."""
        statement = "SELECT doc_id, content_revision FROM document WHERE key = ?"
        return [DocumentMatch(*_row(reader, statement, key)) for key in self._keys(reader).tolist()]

    def page(
        self, reader: apsw.Connection, *, after: str | None, limit: int, include_text: bool, max_bytes: int
    ) -> DocumentPage:
        """Read a page, in order of doc_id by UTF-8 bytes; see Store.list_documents."""
        text = TEXT if include_text else "''"
        statement = f"SELECT {COLUMNS}, {text} FROM document WHERE key = ?"  # noqa: S608  # constants
        documents: list[Document] = []
        room = max_bytes
        for key in self._in_order(reader, after):
            if len(documents) == limit:
                return DocumentPage(tuple(documents), more=True)
            document = document_of(_row(reader, statement, key))
            room -= len(document.text.encode()) + len(document.title.encode()) + len(document.packed_metadata)
            if room < 0 and documents:
                return DocumentPage(tuple(documents), more=True)
            documents.append(document)
        return DocumentPage(tuple(documents), more=False)

    def _in_order(self, reader: apsw.Connection, after: str | None) -> Iterator[int]:
        """Go through the keys in order of doc_id."""
        keys = self._keys(reader)
        if len(keys) <= FEW:
            statement = "SELECT doc_id FROM document WHERE key = ?"
            # By code points, which is by UTF-8 bytes.
            in_order = sorted((_row(reader, statement, key)[0], key) for key in keys.tolist())
            yield from (key for doc_id, key in in_order if after is None or doc_id > after)
            return
        wanted = set(keys.tolist())
        rows: Any = reader.execute(
            f"SELECT key FROM document WHERE {LIVE}"  # noqa: S608  # constants
            f" {'' if after is None else 'AND doc_id > ?'} ORDER BY doc_id",
            (self._collection,) if after is None else (self._collection, after),
        )
        yield from (key for (key,) in rows if key in wanted)

    def _keys(self, reader: apsw.Connection) -> Ids:
        """Return the keys of the documents that pass, as of the reader's transaction."""
        with self.state.hold() as view:
            keys = view.filters.contents(self.filter)
            # Held until the transaction has begun, which its first statement does, so that the log is whole.
            rows: Any = reader.execute(
                "SELECT DISTINCT content FROM change WHERE collection = ? AND seq > ?",
                (self._collection, view.seq),
            ).fetchall()
        if not rows:
            return keys
        changed = [row[0] for row in rows]
        passing = [key for key in changed if self._passes(reader, key)]
        return np.concatenate([np.setdiff1d(keys, changed), np.array(passing, np.int64)])

    def _passes(self, reader: apsw.Connection, key: int) -> bool:
        row = _row(
            reader,
            "SELECT doc_id, title, create_time, update_time, metadata FROM document"
            " WHERE key = ? AND dead IS NULL",
            key,
        )
        if row is None:
            return False
        doc_id, title, create_time, update_time, packed = row
        facts = Facts(doc_id, title, create_time, update_time, self.codec.unpack(packed))
        return matches(self.filter, facts)

    @property
    def _collection(self) -> int:
        return self.state.collection.id


def _row(reader: apsw.Connection, statement: str, key: int) -> Any:
    return reader.execute(statement, (key,)).fetchone()

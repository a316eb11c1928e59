"""One transaction of the writer thread: applies writes, and tells what they did to the indexes.

Everything that a write depends on is decided here, against rows that nobody else
can change: revision, hashes, the metadata that a patch meets. A write that is
refused (a domain error) is refused before its first statement, so the others of the
group are not touched by it.

Each change of a document takes a seq of its own, which is its revision: it grows
over all collections, and survives deletion and restart with the counter's row.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import apsw

from rag_grpc.core.decisions import PutAction, check_revision, decide_put
from rag_grpc.core.errors import (
    CollectionNotFound,
    DocumentNotFound,
    EmbedderChanged,
    LimitExceeded,
    StorageFault,
)
from rag_grpc.core.hashing import canonical_metadata, content_hash
from rag_grpc.core.metadata import patched
from rag_grpc.core.models import (
    DeleteMatches,
    DeleteOutcome,
    DeleteRefs,
    IngestStatus,
    Outcome,
    PatchMetadata,
    PatchOutcome,
    PreparedDocument,
    PutDocument,
    PutOutcome,
    VectorsNeeded,
    Write,
)
from rag_grpc.core.ports import MetadataCodec
from rag_grpc.stores.embedded.dense_index import Born, Described, Died
from rag_grpc.stores.embedded.effects import Counters, Effects, Stored, Version
from rag_grpc.stores.embedded.migrations import first_id
from rag_grpc.stores.embedded.new_rows import NewContent, NewRows
from rag_grpc.stores.embedded.right_of_way import RightOfWay
from rag_grpc.stores.embedded.side import Side
from rag_grpc.stores.embedded.stored_row import StoredRow, read_all_stored, read_stored


class Transaction:
    """Applies writes between BEGIN and COMMIT; a new one for each group."""

    def __init__(
        self,
        connection: apsw.Connection,
        codec: MetadataCodec,
        *,
        seq: int,
        counters: Mapping[int, Counters],
        sides: Mapping[int, Side],
        right_of_way: RightOfWay,
    ) -> None:
        """Begin. `seq` is the last one given out; `counters` and `sides` are all collections'."""
        self.seq = seq
        self.effects: dict[int, Effects] = {}
        self._counters = counters
        self._sides = sides
        self._connection = connection
        self._codec = codec
        self._new = NewRows(right_of_way)
        self._found: dict[tuple[int, str], StoredRow | None] = {}
        connection.execute("BEGIN IMMEDIATE")

    def look_up(self, writes: Sequence[Write]) -> None:
        """Read what is stored of the documents that are put, at once. Before the first write is applied."""
        ids: dict[int, list[str]] = {}
        for write in writes:
            if isinstance(write, PutDocument):
                ids.setdefault(write.collection.id, []).append(write.document.doc_id)
        for collection, doc_ids in ids.items():
            self._found.update(((collection, doc_id), None) for doc_id in doc_ids)
            for stored in read_all_stored(self._connection, collection, doc_ids):
                self._found[collection, stored.doc_id] = stored

    def insert(self) -> None:
        """Insert the rows that wait. Before `commit`. Raises apsw.Error."""
        self._new.insert(self._connection)

    def commit(self) -> None:
        """Write the counters and commit. Raises apsw.Error; then nothing counts as done."""
        self._connection.execute("UPDATE counter SET value = ? WHERE name = 'seq'", (self.seq,))
        for collection, effects in self.effects.items():
            counters = effects.counters
            self._connection.execute(
                "UPDATE collection SET next_document = ?, next_chunk = ?, documents = ?, chunks = ?"
                " WHERE id = ?",
                (
                    counters.next_document,
                    counters.next_chunk,
                    counters.documents,
                    counters.chunks,
                    collection,
                ),
            )
        self._connection.execute("COMMIT")

    def apply(self, write: Write) -> Outcome:
        """Apply one write. Raises RagError before anything was changed, apsw.Error at any point."""
        if write.collection.id not in self._counters:
            raise CollectionNotFound(write.collection.name)
        match write:
            case PutDocument():
                return self._put(write)
        self.insert()
        match write:
            case PatchMetadata():
                return self._patch(write)
            case DeleteRefs():
                return self._delete_refs(write)
            case DeleteMatches():
                return self._delete_matches(write)

    # -- the four writes

    def _put(self, put: PutDocument) -> Outcome:
        collection, document = put.collection.id, put.document
        if put.collection.embedder_fingerprint != self._sides[collection].fingerprint:
            raise EmbedderChanged(put.collection.name)
        stored = self._stored(collection, document.doc_id)
        action = decide_put(put, stored.version if stored else None)
        if action is PutAction.EMBED_FIRST:
            return VectorsNeeded()
        if stored is not None and action is PutAction.KEEP:
            return PutOutcome(IngestStatus.UNCHANGED, stored.version.revision, stored.version.chunk_count)
        self.seq += 1
        if stored is not None and action is PutAction.DESCRIBE:
            self.insert()
            self._describe(collection, stored, document.packed_metadata, document.content_hash)
            self._connection.execute(
                "UPDATE document_text SET text = ?1 WHERE key = ?2 AND text <> ?1",
                (document.text, stored.key),
            )
            self._connection.execute(
                "UPDATE document SET media_type = ?1, content_revision = iif(?2, ?3, content_revision)"
                " WHERE key = ?4",
                (document.media_type, self._connection.changes() > 0, self.seq, stored.key),
            )
            return PutOutcome(IngestStatus.REPLACED, self.seq, stored.version.chunk_count)
        if stored is not None:
            self._bury(collection, stored)
        self._store(collection, document, stored.create_time if stored else None)
        status = IngestStatus.REPLACED if stored else IngestStatus.CREATED
        return PutOutcome(status, self.seq, len(document.chunks))

    def _patch(self, patch: PatchMetadata) -> Outcome:
        collection = patch.collection.id
        stored = self._stored(collection, patch.doc_id)
        if stored is None:
            raise DocumentNotFound(patch.collection.name, patch.doc_id)
        before = self._codec.unpack(stored.metadata)
        after = patched(before, patch.patch, replace=patch.replace)
        canonical = canonical_metadata(after)
        if canonical == canonical_metadata(before):
            return PatchOutcome(stored.version.revision, stored.metadata)
        check_revision(patch.doc_id, patch.expected_revision, stored.version)
        packed = self._codec.pack(after)
        if patch.max_packed_bytes is not None and len(packed) > patch.max_packed_bytes:
            raise LimitExceeded(
                f"the metadata would take {len(packed)} bytes; at most {patch.max_packed_bytes} are kept",
                metadata={"max_metadata_bytes": str(patch.max_packed_bytes)},
            )
        row = self._connection.execute(
            "SELECT text, media_type FROM document JOIN document_text USING (key) WHERE key = ?",
            (stored.key,),
        ).fetchone()
        if row is None:
            raise StorageFault(f"document {patch.doc_id!r} lost its row")
        hashed = content_hash(
            stored.version.embedding_key,
            text=row[0],
            title=stored.title,
            media_type=row[1],
            metadata=canonical,
        )
        self.seq += 1
        self._describe(collection, stored, packed, hashed)
        return PatchOutcome(self.seq, packed)

    def _delete_refs(self, delete: DeleteRefs) -> Outcome:
        collection = delete.collection.id
        found: dict[str, StoredRow] = {}
        for ref in delete.refs:
            stored = self._stored(collection, ref.doc_id)
            check_revision(ref.doc_id, ref.expected_revision, stored.version if stored else None)
            if stored is not None:
                found[ref.doc_id] = stored
        if delete.validate_only:
            return DeleteOutcome(matched=len(found), deleted=0)
        for stored in found.values():
            self.seq += 1
            self._bury(collection, stored)
        return DeleteOutcome(matched=len(found), deleted=len(found))

    def _delete_matches(self, delete: DeleteMatches) -> Outcome:
        collection = delete.collection.id
        deleted = 0
        for match in delete.matches:
            stored = self._stored(collection, match.doc_id)
            if stored is not None and stored.content_revision == match.content_revision:
                self.seq += 1
                self._bury(collection, stored)
                deleted += 1
        return DeleteOutcome(matched=len(delete.matches), deleted=deleted)

    # -- rows

    def _stored(self, collection: int, doc_id: str) -> StoredRow | None:
        # What was read at the beginning holds until the first write that asks for the document.
        if (collection, doc_id) in self._found:
            return self._found.pop((collection, doc_id))
        if self._new.holds(collection, doc_id):
            self.insert()
        return read_stored(self._connection, collection, doc_id)

    def _store(self, collection: int, document: PreparedDocument, create_time: int | None) -> None:
        if document.vectors is None:
            raise StorageFault("a document without vectors reached the database")
        effects = self._effects(collection)
        counters = effects.counters
        content = first_id(collection) + counters.next_document
        first_chunk = first_id(collection) + counters.next_chunk
        count = len(document.chunks)
        now = time.time_ns()
        created = now if create_time is None else create_time
        place = NewContent(collection, content, first_chunk, self.seq)
        self._new.add(place, document, self._sides[collection].number, created=created, now=now)
        effects.born.append(Born(content, first_chunk, document.vectors))
        effects.stored.append(Stored(content, first_chunk, document))
        about = (document.doc_id, document.title, created, now, document.packed_metadata, document.metadata)
        effects.versions.append(Version(content, first_chunk, count, *about))
        effects.counters = Counters(
            counters.next_document + 1,
            counters.next_chunk + count,
            counters.documents + 1,
            counters.chunks + count,
        )

    def _bury(self, collection: int, stored: StoredRow) -> None:
        """Take a document's content out of sight as of this seq; its rows are purged later."""
        count = stored.version.chunk_count
        self._connection.execute("UPDATE document SET dead = ? WHERE key = ?", (self.seq, stored.key))
        self._log(collection, "dead", stored.key, stored.first_chunk, count)
        effects = self._effects(collection)
        effects.died.append(Died(stored.first_chunk, count, self.seq))
        effects.buried.append(stored.key)
        counters = effects.counters
        effects.counters = counters._replace(documents=counters.documents - 1, chunks=counters.chunks - count)

    def _describe(self, collection: int, stored: StoredRow, metadata: bytes, hashed: bytes) -> None:
        """Give a content another version, and keep the old one for those who still look at it."""
        execute = self._connection.execute
        now = time.time_ns()
        execute(
            "INSERT INTO document_past VALUES (?,?,?,?,?,?)",
            (stored.key, stored.version.revision, collection, self.seq, stored.title, stored.metadata),
        )
        execute(
            "UPDATE document SET metadata = ?, content_hash = ?, revision = ?, update_time = ? WHERE key = ?",
            (metadata, hashed, self.seq, now, stored.key),
        )
        self._log(collection, "described", stored.key, stored.first_chunk, stored.version.chunk_count)
        effects = self._effects(collection)
        effects.versions.append(stored.described(metadata, now))
        effects.described.append(Described(stored.first_chunk, stored.version.chunk_count))

    def _log(self, collection: int, op: str, content: int, first_chunk: int, count: int) -> None:
        self._connection.execute(
            "INSERT INTO change VALUES (?,?,?,?,?,?)", (collection, self.seq, op, content, first_chunk, count)
        )

    def _effects(self, collection: int) -> Effects:
        effects = self.effects.get(collection)
        if effects is None:
            effects = self.effects[collection] = Effects(self._counters[collection])
        return effects

"""The documents of one collection in the memory store: versions, writes, searches, pages.

Every method does its work in one go, without awaiting, so what it sees and leaves
behind is whole.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.analysis import Analyzer, query_terms
from rag_grpc.core.chunking import embedding_text
from rag_grpc.core.decisions import PutAction, check_revision, decide_put
from rag_grpc.core.errors import DocumentNotFound, EmbedderChanged, LimitExceeded
from rag_grpc.core.filters import Filter, matches
from rag_grpc.core.hashing import canonical_metadata, content_hash
from rag_grpc.core.metadata import patched
from rag_grpc.core.models import (
    Collection,
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
from rag_grpc.core.ports import ChunkPage, DocumentPage, MetadataCodec
from rag_grpc.core.searches import Found, Search, SearchResult, SearchStrategy
from rag_grpc.core.shadow import ShadowContent, Target
from rag_grpc.stores.document_pages import page_of_chunks, page_of_documents
from rag_grpc.stores.exact_lexical import ExactLexical
from rag_grpc.stores.exact_matrix import ExactMatrix
from rag_grpc.stores.stored_document import StoredDocument, version_of


class Contents:
    """All that is in one collection. `numbers` gives revisions, each larger than any before."""

    def __init__(
        self,
        collection: Collection,
        *,
        numbers: Iterator[int],
        codec: MetadataCodec,
        analyzer: Analyzer,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.collection = collection
        self.documents: dict[str, StoredDocument] = {}
        self.chunks = 0
        self._by_key: dict[int, StoredDocument] = {}
        self._matrix = ExactMatrix(collection.dimension, collection.metric)
        self.words = ExactLexical()
        self._analyzer = analyzer
        self._ordered: list[str] | None = None
        self._next_chunk = 1
        self._numbers = numbers
        self._codec = codec
        self._clock = clock

    # -- writes

    def apply(self, write: Write) -> Outcome:
        """Do what `write` says. Raises what `Store.submit` lists; then nothing was changed."""
        match write:
            case PutDocument():
                return self._put(write)
            case PatchMetadata():
                return self._patch(write)
            case DeleteRefs():
                return self._delete_refs(write)
            case DeleteMatches():
                return self._delete_matches(write)

    def _put(self, write: PutDocument) -> PutOutcome | VectorsNeeded:
        self._check_embedder(write.collection)
        document = write.document
        stored = self.documents.get(document.doc_id)
        action = decide_put(write, version_of(stored))
        if stored is not None and action is PutAction.KEEP:
            return PutOutcome(IngestStatus.UNCHANGED, stored.revision, len(stored.document.chunks))
        if stored is not None and action is PutAction.DESCRIBE:
            described = document._replace(chunks=stored.document.chunks, vectors=stored.document.vectors)
            of_content = described.text != stored.document.text
            revision = self._keep(stored, described, of_content=of_content)
            return PutOutcome(IngestStatus.REPLACED, revision, len(described.chunks))
        if document.vectors is None:
            return VectorsNeeded()
        if stored is not None:
            self._remove(document.doc_id)
        revision = self._add(document, document.vectors, stored)
        status = IngestStatus.CREATED if stored is None else IngestStatus.REPLACED
        return PutOutcome(status, revision, len(document.chunks))

    def _patch(self, write: PatchMetadata) -> PatchOutcome:
        stored = self.documents.get(write.doc_id)
        if stored is None:
            raise DocumentNotFound(self.collection.name, write.doc_id)
        document = stored.document
        before = self._codec.unpack(document.packed_metadata)
        after = patched(before, write.patch, replace=write.replace)
        canonical = canonical_metadata(after)
        # Not `before == after`: to Python, True equals 1.
        if canonical == canonical_metadata(before):
            return PatchOutcome(stored.revision, document.packed_metadata)
        check_revision(write.doc_id, write.expected_revision, stored.version)
        packed = self._codec.pack(after)
        if write.max_packed_bytes is not None and len(packed) > write.max_packed_bytes:
            raise LimitExceeded(
                f"the metadata of {write.doc_id!r} would take {len(packed)} bytes,"
                f" more than {write.max_packed_bytes}"
            )
        hashed = content_hash(
            document.embedding_key,
            text=document.text,
            title=document.title,
            media_type=document.media_type,
            metadata=canonical,
        )
        described = document._replace(packed_metadata=packed, metadata=None, content_hash=hashed)
        return PatchOutcome(self._keep(stored, described, of_content=False), packed)

    def _delete_refs(self, write: DeleteRefs) -> DeleteOutcome:
        for ref in write.refs:
            stored = self.documents.get(ref.doc_id)
            check_revision(ref.doc_id, ref.expected_revision, version_of(stored))
        matched = {ref.doc_id for ref in write.refs if ref.doc_id in self.documents}
        if write.validate_only:
            return DeleteOutcome(matched=len(matched), deleted=0)
        for doc_id in matched:
            self._remove(doc_id)
        return DeleteOutcome(matched=len(matched), deleted=len(matched))

    def _delete_matches(self, write: DeleteMatches) -> DeleteOutcome:
        deleted = 0
        for match in write.matches:
            stored = self.documents.get(match.doc_id)
            if stored is not None and stored.content_revision == match.content_revision:
                self._remove(match.doc_id)
                deleted += 1
        return DeleteOutcome(matched=len(write.matches), deleted=deleted)

    def _add(
        self, document: PreparedDocument, vectors: NDArray[np.float32], replaced: StoredDocument | None
    ) -> int:
        revision, now = next(self._numbers), self._clock()
        first_chunk = self._next_chunk
        self._next_chunk += len(document.chunks)
        stored = StoredDocument(
            key=revision,
            first_chunk=first_chunk,
            document=document,
            revision=revision,
            content_revision=revision,
            create_time=now if replaced is None else replaced.create_time,
            update_time=now,
        )
        self.documents[document.doc_id] = self._by_key[stored.key] = stored
        self._matrix.append(vectors, first_chunk=first_chunk, document=stored.key)
        without_context, language = self.collection.chunking.without_context, self.collection.language
        for number, chunk in enumerate(document.chunks, first_chunk):
            text = embedding_text(document.title, chunk.headings, chunk.text, without_context)
            self.words.add(number, stored.key, self._analyzer.terms(text, language))
        self.chunks += len(document.chunks)
        self._ordered = None
        return revision

    def _keep(self, stored: StoredDocument, document: PreparedDocument, *, of_content: bool) -> int:
        # A new version with the same chunks, so with the same key.
        revision = next(self._numbers)
        kept = replace(
            stored,
            document=document,
            revision=revision,
            content_revision=revision if of_content else stored.content_revision,
            update_time=self._clock(),
        )
        self.documents[document.doc_id] = self._by_key[kept.key] = kept
        return revision

    def _remove(self, doc_id: str) -> None:
        stored = self.documents.pop(doc_id)
        del self._by_key[stored.key]
        count = len(stored.document.chunks)
        self._matrix.remove(first_chunk=stored.first_chunk, count=count)
        for number in range(stored.first_chunk, stored.first_chunk + count):
            self.words.remove(number)
        self.chunks -= count
        self._ordered = None

    def take_over(self, target: Target, shadow: Mapping[int, ShadowContent]) -> None:
        """Change the embedder: `shadow` has vectors and hashes of every content, by key."""
        self.collection = replace(
            self.collection,
            embedder=target.embedder,
            embedder_fingerprint=target.fingerprint,
            dimension=target.dimension,
        )
        self._matrix = ExactMatrix(target.dimension, self.collection.metric)
        for key, stored in sorted(self._by_key.items()):
            made = shadow[key]
            document = stored.document._replace(
                vectors=made.vectors,
                embedding_key=made.embedding_key,
                content_hash=made.content_hash,
            )
            kept = replace(stored, document=document)
            self.documents[document.doc_id] = self._by_key[key] = kept
            if made.vectors is not None:
                self._matrix.append(made.vectors, first_chunk=kept.first_chunk, document=key)

    def _check_embedder(self, collection: Collection) -> None:
        if collection.embedder_fingerprint != self.collection.embedder_fingerprint:
            raise EmbedderChanged(collection.name)

    # -- reads

    def search(self, search: Search) -> SearchResult:
        """Compare every vector, and every chunk with a word in common; select, and bring back."""
        stages: dict[str, float] = {}
        clock = time.perf_counter()
        wanted = None
        if search.filter is not None:
            wanted = self._chunks_of(search.filter)
            stages["filter"], clock = time.perf_counter() - clock, time.perf_counter()
        dense = lexical = None
        if search.dense is not None:
            self._check_embedder(search.collection)
            dense = self._matrix.nearest(search.dense.vector, search.candidates, wanted)
            stages["dense"], clock = time.perf_counter() - clock, time.perf_counter()
        if search.lexical is not None:
            terms = query_terms(self._analyzer, search.lexical.text, self.collection.language)
            lexical = self.words.best(terms, search.candidates, wanted)
            stages["lexical"], clock = time.perf_counter() - clock, time.perf_counter()
        selected = search.select(Found(dense, lexical, self._matrix.rows_of))
        hits = tuple(self._by_key[each.document].hit(each, search.parts) for each in selected)
        stages["fetch"] = time.perf_counter() - clock
        return SearchResult(
            hits,
            SearchStrategy.LEXICAL if dense is None else SearchStrategy.EXACT,
            stages,
            matching_chunks=None if wanted is None else len(wanted),
            more=any(side is not None and len(side.chunks) == search.candidates for side in (dense, lexical)),
        )

    def _chunks_of(self, passing: Filter) -> NDArray[np.int64]:
        """Return the ids of the chunks whose documents pass, in order."""
        ranges = [
            np.arange(each.first_chunk, each.first_chunk + len(each.document.chunks), dtype=np.int64)
            for each in self.passing(passing)
        ]
        return np.sort(np.concatenate([np.empty(0, np.int64), *ranges]))

    def list_documents(
        self, *, after: str | None, limit: int, include_text: bool, max_bytes: int, passing: Filter | None
    ) -> DocumentPage:
        """Read a page of documents; see Store.list_documents."""
        return page_of_documents(
            self.passing(passing, after=after), limit=limit, include_text=include_text, max_bytes=max_bytes
        )

    def passing(self, passing: Filter | None, *, after: str | None = None) -> Iterator[StoredDocument]:
        """Go through the documents that pass a filter, by id, from behind `after` on."""
        ids = self._ids_in_order()
        for place in range(0 if after is None else bisect_right(ids, after), len(ids)):
            stored = self.documents[ids[place]]
            if passing is None or matches(passing, stored.facts(self._codec)):
                yield stored

    def list_chunks(
        self, doc_id: str, *, first: int, limit: int, include_vectors: bool, max_bytes: int
    ) -> ChunkPage:
        """Read a page of chunks; see Store.list_chunks. Raises DocumentNotFound."""
        stored = self.documents.get(doc_id)
        if stored is None:
            raise DocumentNotFound(self.collection.name, doc_id)
        return page_of_chunks(
            stored, first=first, limit=limit, include_vectors=include_vectors, max_bytes=max_bytes
        )

    def _ids_in_order(self) -> list[str]:
        # By UTF-8 bytes, which is by code points, which is how Python compares strings.
        if self._ordered is None:
            self._ordered = sorted(self.documents)
        return self._ordered

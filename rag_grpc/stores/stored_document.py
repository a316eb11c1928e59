"""One version of a document in the memory store, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass

from rag_grpc.core.decisions import StoredVersion
from rag_grpc.core.filters import Facts
from rag_grpc.core.models import Chunk, Document, PreparedDocument
from rag_grpc.core.ports import MetadataCodec
from rag_grpc.core.searches import Hit, HitParts, Selected


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """One version of a document. Its chunk ids are `count` numbers from `first_chunk` on."""

    key: int
    first_chunk: int
    document: PreparedDocument
    revision: int
    content_revision: int
    create_time: int
    update_time: int

    @property
    def version(self) -> StoredVersion:
        """What a decision needs to know of it."""
        document = self.document
        return StoredVersion(
            self.revision, document.content_hash, document.embedding_key, len(document.chunks)
        )

    def facts(self, codec: MetadataCodec) -> Facts:
        """What a filter can ask of it."""
        document = self.document
        return Facts(
            document.doc_id,
            document.title,
            self.create_time,
            self.update_time,
            codec.unpack(document.packed_metadata),
        )

    def read(self, *, include_text: bool) -> Document:
        """The document as it is read."""
        document = self.document
        return Document(
            doc_id=document.doc_id,
            text=document.text if include_text else "",
            media_type=document.media_type,
            title=document.title,
            packed_metadata=document.packed_metadata,
            revision=self.revision,
            content_hash=document.content_hash,
            chunk_count=len(document.chunks),
            create_time=self.create_time,
            update_time=self.update_time,
        )

    def chunk(self, ordinal: int, *, text: bool, vector: bool) -> Chunk:
        """One of its chunks as it is read."""
        chunk, vectors = self.document.chunks[ordinal], self.document.vectors
        return Chunk(
            ordinal=ordinal,
            text=chunk.text if text else "",
            start=chunk.start,
            end=chunk.end,
            headings=chunk.headings,
            vector=vectors[ordinal] if vector and vectors is not None else None,
        )

    def hit(self, selected: Selected, parts: HitParts) -> Hit:
        """One of its chunks as it is found."""
        return Hit(
            self.document.doc_id,
            self.chunk(selected.chunk - self.first_chunk, text=parts.text, vector=parts.vectors),
            self.document.title if parts.title else "",
            self.document.packed_metadata if parts.metadata else None,
            *selected[2:],
        )


def version_of(stored: StoredDocument | None) -> StoredVersion | None:
    """What a decision needs to know of a document that may not be there."""
    return None if stored is None else stored.version

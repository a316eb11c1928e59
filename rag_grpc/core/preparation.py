"""From a draft to a document that is ready to be stored: rules, hashes, chunks, texts to embed.

All of it is pure and blocks: what takes long (splitting, hashing of a long text) is
called in a worker thread by whoever needs it. A draft takes one of two ways. With
ready vectors, it needs nothing but checks and hashes, and the vectors of many drafts
are checked as one matrix. Otherwise it is identified by its hashes first, which say
whether anything has to be split and embedded at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.chunking import Context, check_countable
from rag_grpc.core.embedder_choice import embedder_of
from rag_grpc.core.errors import (
    EmbedderMismatch,
    FieldViolation,
    InvalidField,
    LimitExceeded,
    RagError,
)
from rag_grpc.core.hashing import canonical_metadata, canonical_vectors, content_hash, embedding_key
from rag_grpc.core.limits import Limits
from rag_grpc.core.metadata import without_nulls
from rag_grpc.core.model_ports import Embedder, Splitter
from rag_grpc.core.models import (
    NO_EMBEDDER,
    Collection,
    DocumentDraft,
    MetadataDict,
    PreparedChunk,
    PreparedDocument,
    Vector,
)
from rag_grpc.core.ports import MetadataCodec
from rag_grpc.core.vectors import check_vector, doubtful_rows


@dataclass(frozen=True, slots=True)
class Workshop:
    """What preparing needs of the server."""

    embedders: Mapping[str, Embedder]
    splitter: Splitter
    codec: MetadataCodec
    limits: Limits


class _Vectors(NamedTuple):
    """The vectors of one draft: as they are stored, and as they are hashed."""

    rows: NDArray[np.float32]
    canonical: list[memoryview]


def has_ready_vectors(draft: DocumentDraft) -> bool:
    """Whether the caller brought every chunk with its vector."""
    return bool(draft.chunks) and all(each.vector is not None for each in draft.chunks)


def prepare_ready(
    drafts: Sequence[DocumentDraft], collection: Collection, workshop: Workshop
) -> list[PreparedDocument | RagError]:
    """Prepare drafts with ready vectors; for each the document, or what is wrong with it."""
    rows, spans = _stacked(drafts, collection.dimension)
    doubtful = set(doubtful_rows(rows, collection.metric))
    canonical = canonical_vectors(rows)
    prepared: list[PreparedDocument | RagError] = []
    for draft, span in zip(drafts, spans, strict=True):
        try:
            if not span or not doubtful.isdisjoint(span):
                _check_vectors(draft, collection)
            _check_fingerprint(draft, collection)
            _check_size(draft, workshop.limits)
            own = _Vectors(rows[span.start : span.stop], canonical[span.start : span.stop])
            prepared.append(_document(draft, collection, workshop, own))
        except RagError as error:
            prepared.append(error)
    return prepared


def identify(draft: DocumentDraft, collection: Collection, workshop: Workshop) -> PreparedDocument:
    """Check a draft that has to be embedded, and hash it: a document without chunks and vectors.

    Raises InvalidField, LimitExceeded, NotConfigured, EmbedderMismatch.
    """
    _check_embeddable(draft, collection)
    embedder_of(collection, workshop.embedders)
    _check_size(draft, workshop.limits)
    return _document(draft, collection, workshop, None)


def make_chunks(
    draft: DocumentDraft, collection: Collection, workshop: Workshop
) -> tuple[PreparedChunk, ...]:
    """Take the caller's chunks, or split the text so that the embedder reads each piece to its end.

    Raises InvalidField, LimitExceeded, NotConfigured, EmbedderMismatch.
    """
    if draft.chunks:
        return _own_chunks(draft)
    text = draft.text
    context = _context(draft, collection, workshop)
    spans = workshop.splitter.split(text, draft.media_type, collection.chunking, context.budget())
    if not spans:
        raise InvalidField.of(
            [FieldViolation("document.text", "has nothing in it but white space; set a text, or chunks")]
        )
    _check_count(len(spans), workshop.limits)
    return tuple(
        PreparedChunk(text[each.start : each.end], each.start, each.end, each.headings) for each in spans
    )


def texts_to_embed(
    draft: DocumentDraft, chunks: Sequence[PreparedChunk], collection: Collection, workshop: Workshop
) -> list[str]:
    """What stands for each chunk in the embedding: its text, under the title and its headings.

    Raises NotConfigured, EmbedderMismatch.
    """
    context = _context(draft, collection, workshop)
    return [context.embedding_text(each.headings, each.text) for each in chunks]


def _context(draft: DocumentDraft, collection: Collection, workshop: Workshop) -> Context:
    embedder = embedder_of(collection, workshop.embedders)
    check_countable(collection.chunking, embedder)
    return Context(draft.title, collection.chunking, embedder)


def _document(
    draft: DocumentDraft,
    collection: Collection,
    workshop: Workshop,
    ready: _Vectors | None,
) -> PreparedDocument:
    """Check and hash a draft; without ready vectors it becomes a document without chunks."""
    metadata, packed = _metadata(draft, workshop)
    key = embedding_key(
        draft,
        fingerprint=collection.embedder_fingerprint,
        splitter=workshop.splitter.version,
        chunking=collection.chunking,
        canonical=ready.canonical if ready else (),
    )
    hashed = content_hash(
        key,
        text=draft.text,
        title=draft.title,
        media_type=draft.media_type,
        metadata=canonical_metadata(metadata),
    )
    return PreparedDocument(
        draft.doc_id,
        draft.text,
        draft.media_type,
        draft.title,
        packed,
        hashed,
        key,
        _own_chunks(draft) if ready else (),
        ready.rows if ready else None,
        metadata,
    )


def _metadata(draft: DocumentDraft, workshop: Workshop) -> tuple[MetadataDict, bytes]:
    """Give the metadata that is stored, and its bytes. Raises LimitExceeded."""
    metadata, packed = draft.metadata, draft.packed_metadata
    if packed is None:
        metadata = without_nulls(metadata)
        packed = workshop.codec.pack(metadata)
    most = workshop.limits.max_metadata_bytes
    if len(packed) > most:
        raise LimitExceeded(
            f"document.metadata takes {len(packed)} bytes, and may take {most}: leave some out"
        )
    return metadata, packed


def _own_chunks(draft: DocumentDraft) -> tuple[PreparedChunk, ...]:
    return tuple([PreparedChunk(text, start, end) for text, start, end, _ in draft.chunks])


def _check_size(draft: DocumentDraft, limits: Limits) -> None:
    if len(draft.text) > limits.max_document_characters:
        raise LimitExceeded(
            f"document.text has {len(draft.text)} characters, more than {limits.max_document_characters}:"
            " split the document"
        )
    _check_count(len(draft.chunks), limits)


def _check_count(chunks: int, limits: Limits) -> None:
    if chunks > limits.max_document_chunks:
        raise LimitExceeded(
            f"the document has {chunks} chunks, more than {limits.max_document_chunks}: split the document"
        )


def _check_fingerprint(draft: DocumentDraft, collection: Collection) -> None:
    if collection.embedder == NO_EMBEDDER or draft.embedder_fingerprint == collection.embedder_fingerprint:
        return
    if not draft.embedder_fingerprint:
        raise InvalidField.of(
            [
                FieldViolation(
                    "document.embedder_fingerprint",
                    "is required beside vectors: the fingerprint of the embedder that made them, which must"
                    f" be the collection's, {collection.embedder_fingerprint!r}",
                )
            ]
        )
    raise EmbedderMismatch(
        f"the vectors of {draft.doc_id!r} were made by {draft.embedder_fingerprint!r}; collection"
        f" {collection.name!r} has {collection.embedder_fingerprint!r}",
        metadata={"stored": collection.embedder_fingerprint, "sent": draft.embedder_fingerprint},
    )


def _check_embeddable(draft: DocumentDraft, collection: Collection) -> None:
    """Check that the server may embed the draft, which lacks at least one vector."""
    without = [place for place, each in enumerate(draft.chunks) if each.vector is None]
    if collection.embedder == NO_EMBEDDER:
        why = (
            f"is required: collection {collection.name!r} has no embedder, so the caller brings every vector"
        )
        fields = [f"document.chunks[{place}].vector" for place in without] or ["document.chunks"]
        raise InvalidField.of([FieldViolation(field, why) for field in fields])
    if without and len(without) < len(draft.chunks):
        why = "is missing: either every chunk has a vector, or none"
        raise InvalidField.of([FieldViolation(f"document.chunks[{place}].vector", why) for place in without])


def _stacked(drafts: Sequence[DocumentDraft], dimension: int) -> tuple[NDArray[np.float32], list[range]]:
    """Put the vectors of drafts, each with ready ones, into one matrix; for each draft its rows.

    A draft with a vector of another length has none. A pass over one matrix costs a tenth of a look at
    each vector.
    """
    rows: list[Vector] = []
    spans: list[range] = []
    for draft in drafts:
        own = [each.vector for each in draft.chunks if each.vector is not None]
        if all(len(vector) == dimension for vector in own):
            rows += own
            spans.append(range(len(rows) - len(own), len(rows)))
        else:
            spans.append(range(0))
    return np.stack(rows) if rows else np.empty((0, dimension), np.float32), spans


def _check_vectors(draft: DocumentDraft, collection: Collection) -> None:
    """Look at the vectors of a draft one by one. Raises DimensionMismatch, InvalidField."""
    violations: list[FieldViolation] = []
    for place, chunk in enumerate(draft.chunks):
        if chunk.vector is None:
            continue
        problem = check_vector(
            chunk.vector,
            dimension=collection.dimension,
            metric=collection.metric,
            field=f"document.chunks[{place}].vector",
        )
        if isinstance(problem, RagError):
            raise problem
        if problem is not None:
            violations.append(problem)
    if violations:
        raise InvalidField.of(violations)

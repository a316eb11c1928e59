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
from rag_grpc.core.hashing import canonical_metadata, content_hash, embedding_key
from rag_grpc.core.limits import Limits
from rag_grpc.core.metadata import without_nulls
from rag_grpc.core.model_ports import Embedder, Splitter
from rag_grpc.core.models import (
    NO_EMBEDDER,
    Collection,
    DocumentDraft,
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


def has_ready_vectors(draft: DocumentDraft) -> bool:
    """Whether the caller brought every chunk with its vector."""
    return bool(draft.chunks) and all(each.vector is not None for each in draft.chunks)


def prepare_ready(
    drafts: Sequence[DocumentDraft], collection: Collection, workshop: Workshop
) -> list[PreparedDocument | RagError]:
    """Prepare drafts with ready vectors; for each the document, or what is wrong with it."""
    prepared: list[PreparedDocument | RagError] = []
    problems = _vector_problems(drafts, collection)
    for draft in drafts:
        try:
            problem = problems.get(id(draft))
            if problem is not None:
                raise problem
            _check_fingerprint(draft, collection)
            _check_size(draft, workshop.limits)
            vectors = [each.vector for each in draft.chunks if each.vector is not None]
            rows = vectors[0][np.newaxis] if len(vectors) == 1 else np.stack(vectors)
            prepared.append(_document(draft, collection, workshop, _own_chunks(draft), rows))
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
    return _document(draft, collection, workshop, (), None)


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
    chunks: tuple[PreparedChunk, ...],
    vectors: NDArray[np.float32] | None,
) -> PreparedDocument:
    metadata = without_nulls(draft.metadata)
    packed = workshop.codec.pack(metadata)
    if len(packed) > workshop.limits.max_metadata_bytes:
        raise LimitExceeded(
            f"document.metadata takes {len(packed)} bytes, more than {workshop.limits.max_metadata_bytes}"
        )
    key = embedding_key(
        draft,
        fingerprint=collection.embedder_fingerprint,
        splitter=workshop.splitter.version,
        chunking=collection.chunking,
    )
    return PreparedDocument(
        doc_id=draft.doc_id,
        text=draft.text,
        media_type=draft.media_type,
        title=draft.title,
        packed_metadata=packed,
        content_hash=content_hash(
            key,
            text=draft.text,
            title=draft.title,
            media_type=draft.media_type,
            metadata=canonical_metadata(metadata),
        ),
        embedding_key=key,
        chunks=chunks,
        vectors=vectors,
    )


def _own_chunks(draft: DocumentDraft) -> tuple[PreparedChunk, ...]:
    return tuple([PreparedChunk(each.text, each.start, each.end) for each in draft.chunks])


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


def _vector_problems(drafts: Sequence[DocumentDraft], collection: Collection) -> dict[int, RagError]:
    """Find what is wrong with the vectors of drafts, by id(draft)."""
    # Over all drafts at once: a pass over one matrix costs a tenth of a look at each row.
    owners: list[tuple[DocumentDraft, int]] = []
    rows: list[Vector] = []
    suspects: dict[int, tuple[DocumentDraft, list[int]]] = {}
    for draft in drafts:
        for place, chunk in enumerate(draft.chunks):
            if chunk.vector is None:
                continue
            if len(chunk.vector) == collection.dimension:
                owners.append((draft, place))
                rows.append(chunk.vector)
            else:
                suspects.setdefault(id(draft), (draft, []))[1].append(place)
    if rows:
        for row in doubtful_rows(np.stack(rows), collection.metric):
            draft, place = owners[row]
            suspects.setdefault(id(draft), (draft, []))[1].append(place)
    found = {
        key: _draft_problem(draft, sorted(places), collection) for key, (draft, places) in suspects.items()
    }
    return {key: problem for key, problem in found.items() if problem is not None}


def _draft_problem(draft: DocumentDraft, places: Sequence[int], collection: Collection) -> RagError | None:
    violations: list[FieldViolation] = []
    for place in places:
        vector = draft.chunks[place].vector
        if vector is None:
            continue
        problem = check_vector(
            vector,
            dimension=collection.dimension,
            metric=collection.metric,
            field=f"document.chunks[{place}].vector",
        )
        if isinstance(problem, RagError):
            return problem
        if problem is not None:
            violations.append(problem)
    return InvalidField.of(violations) if violations else None

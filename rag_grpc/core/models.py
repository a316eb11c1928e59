"""The nouns of the domain, as values that never change.

Frozen dataclasses: whoever holds one may keep it across threads and awaits. Those that
every hit or every document needs are named tuples, which take a quarter of the time to make.
Times are integers, nanoseconds since the epoch, UTC. Vectors are numpy arrays
of float32, C-contiguous; nobody writes into an array after it went into one of
these. Metadata exists in two forms: as `dict` where rules look into it, and
*packed*, the edge's own bytes (a serialised google.protobuf.Struct), everywhere
else, so that it crosses from the database to the wire without being taken apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]
JsonValue: TypeAlias = "bool | float | str | list[JsonValue] | dict[str, JsonValue] | None"
MetadataDict: TypeAlias = dict[str, JsonValue]

DEFAULT_COLLECTION = "default"
NO_EMBEDDER = "none"
_NO_METADATA: MetadataDict = {}


class Metric(Enum):
    """How near two embeddings are; scores are always larger for nearer."""

    COSINE = "cosine"
    """Cosine similarity, -1 to 1."""
    DOT = "dot"
    """Inner product."""
    EUCLIDEAN = "euclidean"
    """Negated squared Euclidean distance."""


@dataclass(frozen=True, slots=True)
class Chunking:
    """How a document's text becomes chunks. 0 means the default."""

    max_characters: int = 0
    overlap_characters: int = 0
    max_tokens: int = 0
    without_context: bool = False


@dataclass(frozen=True, slots=True)
class TextSpan:
    """A chunk-to-be: `text[start:end]`, in code points, and the headings it stands under, outermost first."""

    start: int
    end: int
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """What a caller asks a collection to be. Unset parts (empty, 0 or None) are the server's choice."""

    name: str
    embedder: str = ""
    dimension: int = 0
    metric: Metric | None = None
    chunking: Chunking | None = None
    language: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection as stored: all of it is fixed from creation.

    `id` is the store's own number, never used twice. `uid` is new with each creation.
    """

    id: int
    uid: str
    name: str
    embedder: str
    embedder_fingerprint: str
    dimension: int
    metric: Metric
    chunking: Chunking
    language: str
    create_time: int


@dataclass(frozen=True, slots=True)
class CollectionCounts:
    """Live documents and chunks, as of the last answered write."""

    documents: int
    chunks: int


class ChunkDraft(NamedTuple):
    """A chunk that the caller made. `vector` has shape (dimension,)."""

    text: str
    start: int | None = None
    end: int | None = None
    vector: Vector | None = None


class DocumentDraft(NamedTuple):
    """A document as a caller sends it: checked against the field rules, not yet split or embedded.

    `packed_metadata` is what MetadataCodec.pack makes of `metadata`, where the edge has it already.
    """

    doc_id: str
    text: str = ""
    media_type: str = "text/plain"
    title: str = ""
    metadata: MetadataDict = _NO_METADATA
    chunks: tuple[ChunkDraft, ...] = ()
    embedder_fingerprint: str = ""
    packed_metadata: bytes | None = None


class PreparedChunk(NamedTuple):
    """A chunk that is ready to be stored; its ordinal is its place in the document."""

    text: str
    start: int | None
    end: int | None
    headings: tuple[str, ...] = ()


class PreparedDocument(NamedTuple):
    """A document that is ready to be stored.

    `vectors` has shape (len(chunks), dimension), row for chunk; None where the caller of the store
    believes that the stored document has the same `embedding_key`, so that chunks and vectors can stay.
    The two hashes are 32 bytes each; `rag_grpc.core.hashing` says what they cover. `metadata` is what is
    packed beside it, where that is known: an index then need not take it apart again.
    """

    doc_id: str
    text: str
    media_type: str
    title: str
    packed_metadata: bytes
    content_hash: bytes
    embedding_key: bytes
    chunks: tuple[PreparedChunk, ...]
    vectors: NDArray[np.float32] | None
    metadata: MetadataDict | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A document as stored. `text` is empty where it was not asked for."""

    doc_id: str
    text: str
    media_type: str
    title: str
    packed_metadata: bytes
    revision: int
    content_hash: bytes
    chunk_count: int
    create_time: int
    update_time: int


class Chunk(NamedTuple):
    """A chunk as stored. `text` is empty and `vector` None where they were not asked for."""

    ordinal: int
    text: str
    start: int | None
    end: int | None
    headings: tuple[str, ...] = ()
    vector: Vector | None = None


# ---------------------------------------------------------------------------- writes


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """A document, and on what condition: `expected_revision` 0 means that it must not exist."""

    doc_id: str
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class DocumentMatch:
    """A document that a deletion settled on: it is removed while its content is still that one.

    `content_revision` is the revision at which its text and chunks were last written; a change of
    metadata alone keeps it.
    """

    doc_id: str
    content_revision: int


class PutDocument(NamedTuple):
    """Store `document`, replacing the one with its id if there is one. Answered by PutOutcome."""

    collection: Collection
    document: PreparedDocument
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class PatchMetadata:
    """Merge `patch` into a document's metadata (RFC 7396), or `replace` it. Answered by PatchOutcome."""

    collection: Collection
    doc_id: str
    patch: MetadataDict
    replace: bool = False
    expected_revision: int | None = None
    max_packed_bytes: int | None = None
    """The merged metadata may not be longer than this, packed: else LimitExceeded."""


@dataclass(frozen=True, slots=True)
class DeleteRefs:
    """Remove these documents: all of them, or none where an expected revision does not hold.

    Answered by DeleteOutcome. With `validate_only` they are counted and stay.
    """

    collection: Collection
    refs: tuple[DocumentRef, ...]
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class DeleteMatches:
    """Remove those of these documents that are still as they were matched. Answered by DeleteOutcome."""

    collection: Collection
    matches: tuple[DocumentMatch, ...]


Write: TypeAlias = PutDocument | PatchMetadata | DeleteRefs | DeleteMatches


class IngestStatus(Enum):
    """What became of a document that was stored."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"


class PutOutcome(NamedTuple):
    """What became of a PutDocument."""

    status: IngestStatus
    revision: int
    chunk_count: int


@dataclass(frozen=True, slots=True)
class VectorsNeeded:
    """The answer to a PutDocument without vectors whose key is not the stored one: embed, then put again."""


@dataclass(frozen=True, slots=True)
class PatchOutcome:
    """The document's revision and all of its metadata now."""

    revision: int
    packed_metadata: bytes


@dataclass(frozen=True, slots=True)
class DeleteOutcome:
    """How many documents the selector matched, and how many were removed."""

    matched: int
    deleted: int


Outcome: TypeAlias = PutOutcome | VectorsNeeded | PatchOutcome | DeleteOutcome

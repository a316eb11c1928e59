"""What the client takes and gives: plain frozen values, no protobuf messages. Queries are next door.

Words stand where the wire has enum numbers ("cosine", "hybrid", "created"), seconds where it has durations,
None where it has unset fields. A value that only a newer server knows arrives as its number in a string.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rag_client.errors import RagClientError
    from rag_client.vectors import VectorLike

Metric: TypeAlias = Literal["cosine", "dot", "euclidean"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document.

    `start` and `end` are offsets in the document's text, in code points. `vector` is whatever `pack`
    takes, and an `array("f")` from the server. `ordinal` and `headings` are the server's to fill.
    """

    text: str
    vector: VectorLike = None
    start: int | None = None
    end: int | None = None
    ordinal: int = 0
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A text with what is known about it, as it is stored or as it was read.

    `metadata` holds what JSON holds; whole numbers come back as int. The last five fields are the server's.
    """

    doc_id: str
    text: str = ""
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    media_type: str = ""
    chunks: Sequence[Chunk] = ()
    embedder_fingerprint: str = ""
    revision: int = 0
    content_hash: str = ""
    chunk_count: int = 0
    create_time: datetime | None = None
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class IngestItem:
    """A document to store only if it has `expected_revision`; 0 means "it must not exist"."""

    document: Document
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """A document to remove only if it has `expected_revision`."""

    doc_id: str
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of a document: `status` is created, replaced, unchanged or failed; `error` says why."""

    doc_id: str
    status: str
    revision: int = 0
    chunk_count: int = 0
    error: RagClientError | None = None


@dataclass(frozen=True, slots=True)
class Chunking:
    """How a collection splits its documents. 0 means the server's default."""

    max_characters: int = 0
    overlap_characters: int = 0
    max_tokens: int = 0
    without_context: bool = False


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection's configuration and its present size."""

    name: str
    embedder: str
    dimension: int
    metric: str
    chunking: Chunking
    language: str
    document_count: int
    chunk_count: int
    create_time: datetime | None
    uid: str
    embedder_fingerprint: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. `next_page_token` is empty on the last; `total_count` is there where asked for."""

    next_page_token: str
    total_count: int | None = None


@dataclass(frozen=True, slots=True)
class CollectionPage(Page):
    """A page of collections, by name."""

    collections: tuple[Collection, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentPage(Page):
    """A page of documents, by doc_id."""

    documents: tuple[Document, ...] = ()


@dataclass(frozen=True, slots=True)
class ChunkPage(Page):
    """A page of one document's chunks, by ordinal."""

    chunks: tuple[Chunk, ...] = ()


@dataclass(frozen=True, slots=True)
class ReembedProgress:
    """How far a re-embedding is, in chunks; `collection` is set in the last message alone."""

    done: int
    total: int
    collection: Collection | None = None


@dataclass(frozen=True, slots=True)
class Updated:
    """A document's revision and metadata after an update."""

    revision: int
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many documents a deletion matched, and how many it removed (none with `validate_only`)."""

    matched_count: int
    deleted_count: int


@dataclass(frozen=True, slots=True)
class Pong:
    """What a living server says."""

    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Embedder:
    """A model of the server that turns text into vectors."""

    name: str
    dimension: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What runs there. The first of each list is the default; `limits` are the contract's Limits by name."""

    version: str
    store: str
    embedders: tuple[Embedder, ...]
    rerankers: tuple[str, ...]
    generators: tuple[str, ...]
    judges: tuple[str, ...]
    limits: Mapping[str, int]

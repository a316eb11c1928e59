"""What a transaction tells those who follow it: counters, and chunks that came and went."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from rag_grpc.core.models import MetadataDict, PreparedDocument
from rag_grpc.stores.embedded.dense_index import Born, Described, Died


class Counters(NamedTuple):
    """What a collection's row counts: the next ids to give out, and what lives."""

    next_document: int
    next_chunk: int
    documents: int
    chunks: int


class Version(NamedTuple):
    """A version of a document, as filters see it; `content` is the key of its row. Times in nanoseconds.

    `metadata` is what is packed beside it, where that is known.
    """

    content: int
    first_chunk: int
    chunk_count: int
    doc_id: str
    title: str
    create_time: int
    update_time: int
    packed_metadata: bytes
    metadata: MetadataDict | None = None


class Stored(NamedTuple):
    """A content that came, whose chunks have ids from `first_chunk` on."""

    content: int
    first_chunk: int
    document: PreparedDocument


@dataclass(slots=True)
class Effects:
    """What a transaction did to one collection.

    `born`, `died` and `described` say it chunk by chunk; `stored` and `buried` (keys) content by content.
    """

    counters: Counters
    born: list[Born] = field(default_factory=list)
    died: list[Died] = field(default_factory=list)
    described: list[Described] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    buried: list[int] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)

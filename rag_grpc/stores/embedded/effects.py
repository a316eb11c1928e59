"""What a transaction tells those who follow it: counters, and chunks that came and went."""

from __future__ import annotations

from dataclasses import dataclass, field

from rag_grpc.stores.embedded.dense_index import Born, Died


@dataclass(frozen=True, slots=True)
class Counters:
    """What a collection's row counts: the next ids to give out, and what lives."""

    next_document: int
    next_chunk: int
    documents: int
    chunks: int


@dataclass(slots=True)
class Effects:
    """What a transaction did to one collection."""

    counters: Counters
    born: list[Born] = field(default_factory=list)
    died: list[Died] = field(default_factory=list)

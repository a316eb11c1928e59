"""What a query asks and what it gets, as plain values.

The options of a query are one TypedDict, so that they are written down once for both clients and for single
and batched queries, and a type checker still knows each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rag_client.models import Chunk
    from rag_client.vectors import VectorLike

SearchMode: TypeAlias = Literal["dense", "lexical", "hybrid"]
HitField: TypeAlias = Literal["text", "title", "metadata"]


@dataclass(frozen=True, slots=True)
class Fusion:
    """How dense and lexical ranks become one. None means the embedder's weight, 0 means 10."""

    dense_weight: float | None = None
    rank_constant: int = 0


@dataclass(frozen=True, slots=True)
class Rerank:
    """A second look at the best `candidates`: by variety ("mmr") or by one of the server's models."""

    method: Literal["mmr", "cross_encoder"]
    diversity: float | None = None
    model: str = ""
    candidates: int = 0


class QueryOptions(TypedDict, total=False):
    """How a query is to be answered: the fields of the contract's QueryRequest, beside its text."""

    collection: str
    vector: VectorLike
    doc_id: str
    top_k: int
    offset: int
    filter: str
    mode: SearchMode
    min_score: float
    max_hits_per_document: int
    fusion: Fusion
    rerank: Rerank
    ef: int
    exact: bool
    omit: Iterable[HitField]
    metadata_keys: Iterable[str]
    include_vectors: bool
    highlight: bool
    explain: bool


class QueryFields(QueryOptions, total=False):
    """One query of a batch: its text and its options."""

    query: str


@dataclass(frozen=True, slots=True)
class ScoreParts:
    """What each search had to say of a hit; None where it did not find it. Ranks count from 1."""

    dense: float | None
    dense_rank: int | None
    lexical: float | None
    lexical_rank: int | None
    rerank: float | None


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found. Larger scores are better; compare those of one answer only.

    `highlights` are (start, end) in the chunk's text, in code points.
    """

    doc_id: str
    score: float
    chunk: Chunk
    title: str
    metadata: Mapping[str, Any]
    parts: ScoreParts | None
    highlights: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How the server went about a query; `stages` are seconds by name, with `explain` alone."""

    strategy: str
    mode: str
    matching_chunks: int | None
    stages: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The answer to a query: `hits`, best first, and how they were found."""

    query: str
    hits: tuple[Hit, ...]
    plan: SearchPlan

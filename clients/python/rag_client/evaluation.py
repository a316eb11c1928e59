"""What measuring takes and gives, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """A query and what it should find: relevance by doc_id, 0 for not relevant, more for more."""

    query_id: str
    text: str
    relevance: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class EvaluationProgress:
    """How many queries were answered, of those that the server has received so far."""

    done: int
    received: int


@dataclass(frozen=True, slots=True)
class QueryScores:
    """Scores of one query at the largest cutoff, what was found, best first, and its seconds there."""

    query_id: str
    ndcg: float
    recall: float
    doc_ids: tuple[str, ...]
    latency: float


@dataclass(frozen=True, slots=True)
class CutoffScores:
    """Means over the queries, of the first `k` hits of each. All 0 to 1."""

    k: int
    recall: float
    precision: float
    ndcg: float
    reciprocal_rank: float
    hit_rate: float


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """What a run found; latencies are those of one query on the server, in seconds."""

    query_count: int
    cutoffs: tuple[CutoffScores, ...]
    mean_average_precision: float
    latency_p50: float
    latency_p99: float


EvaluationEvent: TypeAlias = EvaluationProgress | QueryScores | RetrievalReport


@dataclass(frozen=True, slots=True)
class IndexRecall:
    """The mean share of true neighbours that the index found, and what 95 of 100 vectors reach."""

    recall: float
    recall_p5: float
    sample_size: int


@dataclass(frozen=True, slots=True)
class AnswerWithContext:
    """An answer, and what it should rest on. `language` is an ISO 639-1 code; unset it is the judge's own."""

    answer: str
    contexts: Sequence[str]
    question: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class SentenceSupport:
    """How far the contexts support one sentence, and which of them does so best, from 0.

    `start` and `end` are offsets in the answer, in code points.
    """

    start: int
    end: int
    support: float
    context_index: int


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How far an answer's contexts support it: the mean of its sentences' support."""

    faithfulness: float
    sentences: tuple[SentenceSupport, ...]


@dataclass(frozen=True, slots=True)
class FaithfulnessReport:
    """One result for each answer, in their order, and which judge scored."""

    results: tuple[Faithfulness, ...]
    judge: str

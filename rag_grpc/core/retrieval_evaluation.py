"""Measuring retrieval: labelled queries are asked as users' are, and their hits compared with the labels.

The use case behind EvaluateRetrieval. Of a query that was answered a run keeps its time and a digest of its
id, some hundred bytes, and nothing of its text, labels or hits; so a run may be of any length.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from time import perf_counter

from rag_grpc.core.errors import FieldViolation, InvalidField, RagError
from rag_grpc.core.measures import DEFAULT_CUTOFFS, CutoffScores, Means, percentile, score_ranking
from rag_grpc.core.models import DEFAULT_COLLECTION
from rag_grpc.core.precedence import Precedence
from rag_grpc.core.quality_records import QualityRecords
from rag_grpc.core.queries import Query
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.core.searches import HitParts

ONLY_IDS = HitParts(text=False, title=False, metadata=False)
SHOWN_CUTOFFS = 10
"""Cutoffs of a run that are recorded, the smallest ones: a caller may name a hundred."""
_ANY_TEXT = "anything"
_NO_EMBEDDER = "looks for meaning, and the collection has no embedder; leave it out, or ask for LEXICAL"


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """A query and what it should find: relevance by doc_id, 0 for not relevant."""

    query_id: str
    text: str
    relevance: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class QueryScores:
    """Scores of one query at the largest cutoff, what it found, best first, and its time in seconds."""

    query_id: str
    ndcg: float
    recall: float
    doc_ids: tuple[str, ...]
    latency: float


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """What a run found, as means over its queries; times in seconds."""

    query_count: int
    cutoffs: tuple[CutoffScores, ...]
    mean_average_precision: float
    latency_p50: float
    latency_p99: float


class RetrievalEvaluation:
    """Begins runs. `precedence` lets users' queries go first; results go to `records`."""

    def __init__(self, *, retrieval: Retrieval, precedence: Precedence, records: QualityRecords) -> None:
        """`retrieval` must be one that does not count as a user with `precedence`."""
        self._retrieval = retrieval
        self._precedence = precedence
        self._records = records

    def begin(self, template: Query, cutoffs: Sequence[int] = ()) -> EvaluationRun:
        """Begin a run of queries that are asked as `template` says; its text is theirs.

        A `top_k` of 0 is the largest cutoff. Raises, before any query, what its collection, filter or models
        would have every query raise: CollectionNotFound, InvalidFilter, NotConfigured, EmbedderMismatch.
        """
        cutoffs = tuple(cutoffs) or DEFAULT_CUTOFFS
        template = template._replace(
            top_k=template.top_k or max(cutoffs), max_hits_per_document=1, parts=ONLY_IDS
        )
        try:
            self._retrieval.check(template._replace(text=_ANY_TEXT))
        except RagError as error:
            if any(each.field == "vector" for each in error.violations):
                # To a query it is said that it lacks a vector; a labelled one can bring none.
                raise InvalidField.of([FieldViolation("template.mode", _NO_EMBEDDER)]) from error
            raise error.of_part("template", prefix="template.") from error
        return EvaluationRun(self._retrieval, self._precedence, self._records, template, cutoffs)


class EvaluationRun:
    """One run: `admit` each query, `answer` it, and at the end `finish`."""

    def __init__(
        self,
        retrieval: Retrieval,
        precedence: Precedence,
        records: QualityRecords,
        template: Query,
        cutoffs: tuple[int, ...],
    ) -> None:
        self._retrieval = retrieval
        self._precedence = precedence
        self._records = records
        self._template = template
        self._cutoffs = cutoffs
        self._largest = cutoffs.index(max(cutoffs))
        self._means = Means(cutoffs)
        self._seconds = array("d")
        self._known: set[bytes] = set()

    @property
    def received(self) -> int:
        """Queries that were admitted."""
        return len(self._known)

    @property
    def done(self) -> int:
        """Queries that were answered."""
        return self._means.count

    def admit(self, query_id: str) -> bool:
        """Take an id in; False where the run has it already."""
        before = len(self._known)
        self._known.add(blake2b(query_id.encode("utf-8", "surrogatepass"), digest_size=16).digest())
        return len(self._known) > before

    async def answer(self, query: LabelledQuery) -> QueryScores:
        """Ask one query when it is its turn, and score what it finds.

        Raises what `Retrieval.query` does, with the query's id in message and metadata.
        """
        asked = self._template._replace(text=query.text)
        async with self._precedence.turn():
            begin = perf_counter()
            try:
                result = await self._retrieval.query(asked)
            except RagError as error:
                raise error.of_part(
                    f"query {query.query_id!r}", prefix="template.", metadata={"query_id": query.query_id}
                ) from error
            seconds = perf_counter() - begin
        self._seconds.append(seconds)
        found = tuple(hit.doc_id for hit in result.hits)
        scores = score_ranking(found, query.relevance, self._cutoffs)
        self._means.add(scores)
        at_largest = scores.cutoffs[self._largest]
        return QueryScores(query.query_id, at_largest.ndcg, at_largest.recall, found, seconds)

    async def finish(self) -> RetrievalReport:
        """Make the report, and record it. Raises InvalidField where there was no query."""
        if not self.done:
            raise InvalidField.of([FieldViolation("queries", "is required: the run has none")])
        means = self._means.scores()
        seconds = sorted(self._seconds)
        report = RetrievalReport(
            query_count=self.done,
            cutoffs=means.cutoffs,
            mean_average_precision=means.average_precision,
            latency_p50=percentile(seconds, 50),
            latency_p99=percentile(seconds, 99),
        )
        collection = self._template.collection or DEFAULT_COLLECTION
        await self._records.add(collection, "retrieval", shown_scores(report))
        return report


def shown_scores(report: RetrievalReport) -> dict[str, float]:
    """Name the scores of a report as they are recorded: "recall@10", "map"."""
    shown = {"map": report.mean_average_precision}
    for at in sorted(report.cutoffs, key=lambda each: each.k)[:SHOWN_CUTOFFS]:
        shown |= {
            f"recall@{at.k}": at.recall,
            f"precision@{at.k}": at.precision,
            f"ndcg@{at.k}": at.ndcg,
            f"reciprocal_rank@{at.k}": at.reciprocal_rank,
            f"hit_rate@{at.k}": at.hit_rate,
        }
    return shown

"""The canary that the settings ask for, made of the server's use cases; none by default."""

from __future__ import annotations

from collections.abc import Sequence

from rag_grpc.canary_file import canary_file
from rag_grpc.core.canary import Canary, FaithfulnessMeasure
from rag_grpc.core.faithfulness import AnswerWithContext, FaithfulnessEvaluation
from rag_grpc.core.golden_set import MAX_TEXT
from rag_grpc.core.index_recall import IndexMeasuring
from rag_grpc.core.judging import Judging
from rag_grpc.core.ports import Store
from rag_grpc.core.precedence import Precedence
from rag_grpc.core.quality_records import QualityRecords
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.settings import Settings


def make_canary(
    settings: Settings,
    *,
    store: Store,
    retrieval: Retrieval,
    judging: Judging,
    precedence: Precedence,
    records: QualityRecords,
) -> Canary | None:
    """Make it, with the questions that are there now; None where none are named. Raises SettingsFault.

    `retrieval` must be one that does not count as a user with `precedence`.
    """
    file = canary_file(settings)
    if file is None:
        return None
    evaluation = FaithfulnessEvaluation(judging=judging, precedence=precedence, records=records)
    return Canary(
        source=file,
        retrieval=retrieval,
        precedence=precedence,
        index=IndexMeasuring(store=store, precedence=precedence, records=records),
        faithfulness=_by_default_judge(evaluation) if settings.judges else None,
        records=records,
        interval=settings.canary_interval,
    )


def _by_default_judge(evaluation: FaithfulnessEvaluation) -> FaithfulnessMeasure:
    async def weigh(answer: str, contexts: Sequence[str], question: str) -> float:
        known = AnswerWithContext(answer, contexts, question)
        # A text has no more sentences than characters: this bound is for responses, and here there is none.
        report = await evaluation.weigh([known], most_sentences=MAX_TEXT)
        return report.results[0].value

    return weigh

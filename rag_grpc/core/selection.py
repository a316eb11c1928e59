"""Which of the candidates become the hits of an answer: pure functions, run in the search threads."""

from __future__ import annotations

from collections.abc import Sequence

from rag_grpc.core.searches import Found, Select, Selected


def dense_selection(*, top_k: int, offset: int = 0, min_score: float | None = None) -> Select:
    """Make the selection for nearness alone: pass over `offset` candidates, keep up to `top_k`.

    Those that score below `min_score` are left out; ranks count from the first candidate.
    """

    def select(found: Found) -> Sequence[Selected]:
        candidates = found.dense
        if candidates is None:
            return ()
        end = offset + top_k
        rows = zip(
            candidates.chunks[offset:end].tolist(),
            candidates.documents[offset:end].tolist(),
            candidates.scores[offset:end].tolist(),
            strict=True,
        )
        return [
            Selected(chunk, document, score, score, rank)
            for rank, (chunk, document, score) in enumerate(rows, start=offset + 1)
            if min_score is None or score >= min_score
        ]

    return select

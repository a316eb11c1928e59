"""Candidates in the order in which an answer would have them, as arrays.

A ranking is what selections work on: a side's candidates, or both fused, then capped and
followed by what a deeper search found. Everything is numpy, because a ranking may be
thousands long where an answer has ten hits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.searches import Candidates, Selected

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]


class Ranking(NamedTuple):
    """Chunks, best first, as arrays of one length.

    `scores` float32 never rise. A rank of 0 says that the side did not find the chunk; ranks count from 1.
    """

    chunks: Ids
    documents: Ids
    scores: Scores
    dense: Scores
    dense_ranks: Ids
    lexical: Scores
    lexical_ranks: Ids

    def taken(self, places: Ids | NDArray[np.bool_] | slice) -> Ranking:
        """Return what stands at some places, in their order."""
        return Ranking._make(each[places] for each in self)

    def selected(self, begin: int, end: int) -> list[Selected]:
        """Return a stretch as the store reads it."""
        return [
            Selected(
                chunk,
                document,
                score,
                dense if dense_rank else None,
                dense_rank or None,
                lexical if lexical_rank else None,
                lexical_rank or None,
            )
            for chunk, document, score, dense, dense_rank, lexical, lexical_rank in zip(
                *(each[begin:end].tolist() for each in self), strict=True
            )
        ]


def of_dense(candidates: Candidates) -> Ranking:
    """Rank by nearness alone."""
    ranks, none, nothing = _beside(candidates)
    return Ranking(*candidates, candidates.scores, ranks, nothing, none)


def of_lexical(candidates: Candidates) -> Ranking:
    """Rank by words alone."""
    ranks, none, nothing = _beside(candidates)
    return Ranking(*candidates, nothing, none, candidates.scores, ranks)


def _beside(candidates: Candidates) -> tuple[Ids, Ids, Scores]:
    count = len(candidates.chunks)
    return np.arange(1, count + 1), np.zeros(count, np.int64), np.zeros(count, np.float32)


def capped(ranking: Ranking, most: int) -> Ranking:
    """Keep the best `most` chunks of each document."""
    documents = ranking.documents
    order = np.argsort(documents, kind="stable")
    grouped = documents[order]
    # Where each chunk's document begins in the groups; how far behind that it stands is its number there.
    begins = np.searchsorted(grouped, grouped)
    numbers = np.empty(len(documents), np.int64)
    numbers[order] = np.arange(len(documents)) - begins
    return ranking.taken(numbers < most)


def scoring(ranking: Ranking, least: float) -> Ranking:
    """Keep what scores `least` or more."""
    return ranking.taken(slice(int(np.count_nonzero(ranking.scores >= least))))


def following(head: Ranking, deeper: Ranking) -> Ranking:
    """Let what a deeper search found follow a ranking that stands already.

    A score above the last one of the head is lowered to it, because scores never rise; its parts keep what
    each side said. What the deeper search did not find again has been removed since, and is left out.
    """
    head = head.taken(np.isin(head.chunks, deeper.chunks))
    rest = deeper.taken(~np.isin(deeper.chunks, head.chunks))
    pairs: zip[tuple[NDArray[Any], NDArray[Any]]] = zip(head, rest, strict=True)
    whole = Ranking._make(np.concatenate(pair) for pair in pairs)
    return whole._replace(scores=np.minimum.accumulate(whole.scores))

"""How good a ranking is, by the labels of its query.

Definitions are trec_eval's (https://github.com/usnistgov/trec_eval), and a test holds them equal to
ir-measures, which calls it. What is not said there, or is often done otherwise:

* A document is relevant where its label is 1 or more. One without a label is not relevant.
* Precision at k divides by k, also where fewer documents were found.
* Recall at k divides by all relevant documents, also where k is smaller: then 1 cannot be reached.
* nDCG's gain is the label itself (not 2^label - 1), its discount log2(rank + 1), and the ideal ranking is
  made of all labels, cut at k.
* A query without relevant documents scores 0, and counts in the means, as one that finds nothing does.
* trec_eval takes no order from a ranking, only scores, and breaks ties by id, the greatest first. Here the
  order is that in which hits come back: it is what a caller sees. For rankings without ties both are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log2

DEFAULT_CUTOFFS = (1, 3, 5, 10, 100)


@dataclass(frozen=True, slots=True)
class CutoffScores:
    """What the first `k` of a ranking are worth, or the means over several rankings. All 0 to 1."""

    k: int
    recall: float
    precision: float
    ndcg: float
    reciprocal_rank: float
    hit_rate: float


@dataclass(frozen=True, slots=True)
class RankingScores:
    """What one ranking is worth: at each cutoff, and as a whole."""

    cutoffs: tuple[CutoffScores, ...]
    average_precision: float


def score_ranking(
    ranking: Sequence[str], relevance: Mapping[str, int], cutoffs: Sequence[int]
) -> RankingScores:
    """Score a ranking of document ids, best first, none of them twice, by the labels of its query."""
    gains = [relevance.get(each, 0) for each in ranking]
    ideal = sorted((each for each in relevance.values() if each > 0), reverse=True)
    return RankingScores(
        tuple(_at_cutoff(k, gains[:k], ideal) for k in cutoffs), _average_precision(gains, len(ideal))
    )


def _at_cutoff(k: int, gains: Sequence[int], ideal: Sequence[int]) -> CutoffScores:
    found = sum(1 for gain in gains if gain > 0)
    first = next((rank for rank, gain in enumerate(gains, 1) if gain > 0), 0)
    return CutoffScores(
        k=k,
        recall=found / len(ideal) if ideal else 0.0,
        precision=found / k,
        ndcg=_discounted(gains) / _discounted(ideal[:k]) if ideal else 0.0,
        reciprocal_rank=1 / first if first else 0.0,
        hit_rate=1.0 if found else 0.0,
    )


def _discounted(gains: Iterable[int]) -> float:
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, 1) if gain > 0)


def _average_precision(gains: Sequence[int], relevant: int) -> float:
    found, total = 0, 0.0
    for rank, gain in enumerate(gains, 1):
        if gain > 0:
            found += 1
            total += found / rank
    return total / relevant if relevant else 0.0


class Means:
    """The means over the rankings that were added, which are not kept."""

    def __init__(self, cutoffs: Sequence[int]) -> None:
        self._cutoffs = tuple(cutoffs)
        self._sums = [[0.0] * 5 for _ in self._cutoffs]
        self._average_precision = 0.0
        self.count = 0

    def add(self, scores: RankingScores) -> None:
        """Take the scores of one ranking in."""
        self.count += 1
        self._average_precision += scores.average_precision
        for sums, at in zip(self._sums, scores.cutoffs, strict=True):
            values = (at.recall, at.precision, at.ndcg, at.reciprocal_rank, at.hit_rate)
            sums[:] = [total + value for total, value in zip(sums, values, strict=True)]

    def scores(self) -> RankingScores:
        """Return the means so far; 0 where nothing was added."""
        count = self.count or 1
        return RankingScores(
            tuple(
                CutoffScores(k, *(total / count for total in sums))
                for k, sums in zip(self._cutoffs, self._sums, strict=True)
            ),
            self._average_precision / count,
        )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the value that `percent` of 100 of these rising values are not above; 0 where there are none.

    By nearest rank, so it is one of the values: of 100, the 99th percentile is the largest.
    """
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0

"""Measures are trec_eval's: what ir-measures makes of any ranking, these make of it too."""

from __future__ import annotations

import ir_measures
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG

from rag_grpc.core.measures import Means, RankingScores, percentile, score_ranking

CUTOFFS = (1, 3, 5, 10)
IDS = st.sampled_from([f"d{number}" for number in range(12)] + ["\u00e4", "D", "\u4e16"])
LABELS = st.dictionaries(IDS, st.integers(0, 4), min_size=1)
RUN = st.dictionaries(IDS, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
Queries = dict[str, tuple[dict[str, int], dict[str, float]]]


def in_trec_order(run: dict[str, float]) -> list[str]:
    """What trec_eval makes of scores: those that tie go by id, the greatest first, by UTF-8 bytes."""
    return sorted(sorted(run, key=lambda each: each.encode(), reverse=True), key=lambda each: -run[each])


def ours(queries: Queries) -> RankingScores:
    means = Means(CUTOFFS)
    for labels, run in queries.values():
        means.add(score_ranking(in_trec_order(run), labels, CUTOFFS))
    return means.scores()


def theirs(queries: Queries) -> dict[str, float]:
    """Queries that found nothing are missing in the run, as they are in a run's file.

    ir-measures has RR at a cutoff from elsewhere, which breaks ties otherwise: there it gets none.
    """
    measures = [AP, *(measure @ k for k in CUTOFFS for measure in (R, P, nDCG, Success))]
    labels = {query: labels for query, (labels, _) in queries.items()}
    runs = {query: run for query, (_, run) in queries.items() if run}
    ranks = {
        query: {doc_id: -float(rank) for rank, doc_id in enumerate(in_trec_order(run))}
        for query, run in runs.items()
    }
    found = ir_measures.calc_aggregate(measures, labels, runs)
    found |= ir_measures.calc_aggregate([RR @ k for k in CUTOFFS], labels, ranks)
    return {str(measure): value for measure, value in found.items()}


@given(st.dictionaries(st.sampled_from("qrs"), st.tuples(LABELS, RUN), min_size=1))
@example({"none relevant": ({"d1": 0}, {"d1": 1.0})})
@example({"nothing found": ({"d1": 1}, {}), "found": ({"d1": 1}, {"d1": 1.0})})
@example({"ties": ({"d1": 2, "d2": 1, "d3": 0}, {"d1": 1.0, "d2": 1.0, "d3": 1.0, "d4": 1.0})})
def test_every_measure_is_what_ir_measures_makes_of_it(queries: Queries) -> None:
    scores, expected = ours(queries), theirs(queries)
    assert scores.average_precision == pytest.approx(expected["AP"], abs=1e-9)
    for at in scores.cutoffs:
        found = {
            "R": at.recall,
            "P": at.precision,
            "nDCG": at.ndcg,
            "RR": at.reciprocal_rank,
            "Success": at.hit_rate,
        }
        for name, value in found.items():
            assert value == pytest.approx(expected[f"{name}@{at.k}"], abs=1e-9), (name, at.k)


def test_a_ranking_by_hand() -> None:
    scores = score_ranking(["x", "a", "b"], {"a": 1, "b": 3, "c": 1, "x": 0}, (2, 10))
    at_two, at_ten = scores.cutoffs
    assert (at_two.k, at_two.precision, at_two.reciprocal_rank, at_two.hit_rate) == (2, 0.5, 0.5, 1.0)
    assert at_two.recall == pytest.approx(1 / 3)
    assert at_two.ndcg == pytest.approx((1 / 1.5849625) / (3 + 1 / 1.5849625), abs=1e-6)
    assert at_ten.precision == 0.2
    assert at_ten.recall == pytest.approx(2 / 3)
    assert scores.average_precision == pytest.approx((1 / 2 + 2 / 3) / 3)


def test_a_query_that_finds_nothing_scores_nothing_and_counts() -> None:
    means = Means((1,))
    means.add(score_ranking(["a"], {"a": 1}, (1,)))
    means.add(score_ranking([], {"a": 1}, (1,)))
    means.add(score_ranking(["a"], {"a": 0}, (1,)))
    at_one = means.scores().cutoffs[0]
    assert means.count == 3
    assert at_one.recall == at_one.hit_rate == pytest.approx(1 / 3)


def test_no_rankings_have_means_too() -> None:
    assert Means((5,)).scores().cutoffs[0].ndcg == 0


@pytest.mark.parametrize(
    ("count", "percent", "expected"), [(100, 50, 50), (100, 99, 99), (100, 5, 5), (1, 99, 0), (3, 50, 1)]
)
def test_percentiles_are_values_by_nearest_rank(count: int, percent: int, expected: float) -> None:
    assert percentile([float(each) for each in range(count)], percent) == expected


def test_nothing_has_the_percentile_0() -> None:
    assert percentile([], 99) == 0

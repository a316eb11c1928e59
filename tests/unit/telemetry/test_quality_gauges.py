"""What was measured last, for Prometheus, and no more of it than has room."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from rag_grpc.core.quality import Origin
from rag_grpc.quality_gauges import QualityGauges
from rag_grpc.telemetry import TOLD_APART


def shown(gauges: QualityGauges) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in gauges.collect()
        for sample in family.samples
    }


def test_the_last_result_of_each_kind_and_origin_is_shown() -> None:
    gauges = QualityGauges(lambda: ["a"])
    gauges.post("a", "retrieval", {"recall@10": 0.5, "map": 0.1}, Origin.EVALUATION, 10**9)
    gauges.post("a", "retrieval", {"recall@5": 0.25}, Origin.EVALUATION, 2 * 10**9)
    gauges.post("a", "index", {"index_recall": 1.0}, Origin.EVALUATION, 3 * 10**9)
    gauges.post("a", "retrieval", {"recall@5": 0.75}, Origin.CANARY, 4 * 10**9)
    score, when = "rag_quality_score", "rag_quality_measured_timestamp_seconds"
    assert shown(gauges) == {
        (score, "a", "recall@5", "evaluation"): 0.25,
        (score, "a", "index_recall", "evaluation"): 1.0,
        (score, "a", "recall@5", "canary"): 0.75,
        (when, "a", "retrieval", "evaluation"): 2.0,
        (when, "a", "index", "evaluation"): 3.0,
        (when, "a", "retrieval", "canary"): 4.0,
    }


def test_what_was_removed_is_not_shown_and_what_has_no_collection_is() -> None:
    there = ["a", "b"]
    gauges = QualityGauges(lambda: there)
    for name in ("a", "b", ""):
        gauges.post(name, "retrieval", {"map": 1.0}, Origin.EVALUATION, 1)
    there.remove("a")
    assert {names[1] for names in shown(gauges)} == {"b", ""}


def test_collections_that_were_measured_long_ago_make_room() -> None:
    names = [f"c{number}" for number in range(TOLD_APART + 2)]
    gauges = QualityGauges(lambda: names)
    for name in [*names[:-1], "c0", names[-1]]:
        gauges.post(name, "retrieval", {"map": 1.0}, Origin.EVALUATION, 1)
    left = {labels[1] for labels in shown(gauges)}
    assert len(left) == TOLD_APART
    assert left == {*names} - {"c1", "c2"} | {"c0"}


def test_both_families_are_there_from_the_start() -> None:
    registry = CollectorRegistry()
    registry.register(QualityGauges(list))
    assert {family.name for family in registry.collect()} == {
        "rag_quality_score",
        "rag_quality_measured_timestamp_seconds",
    }

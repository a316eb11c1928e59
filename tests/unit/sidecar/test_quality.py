"""What was measured, as curves with no more points than can be drawn."""

import pytest

from rag_grpc.core.quality import Measurement, Origin
from rag_grpc.sidecar.quality import POINTS, curves

SECOND = 10**9


def measured(*values: float, measure: str = "recall@10", origin: Origin = Origin.CANARY) -> list[Measurement]:
    return [
        Measurement(place * SECOND, "a", measure, value, origin)
        for place, value in enumerate(values, start=1)
    ]


def test_few_measurements_are_told_as_they_are() -> None:
    (curve,) = curves(measured(0.5, 0.25, 0.75), 0, 10 * SECOND)
    assert curve == {
        "collection": "a",
        "origin": "canary",
        "measure": "recall@10",
        "points": [(1.0, 0.5, 0.5), (2.0, 0.25, 0.25), (3.0, 0.75, 0.75)],
        "count": 3,
        "first": 0.5,
        "last": 0.75,
        "lowest": 0.25,
        "highest": 0.75,
        "time": 3.0,
    }


def test_each_measure_and_origin_has_a_curve_of_its_own() -> None:
    both = measured(0.5) + measured(0.6, origin=Origin.EVALUATION) + measured(0.7, measure="map")
    assert [(each["origin"], each["measure"], each["last"]) for each in curves(both, 0, SECOND)] == [
        ("canary", "map", 0.7),
        ("canary", "recall@10", 0.5),
        ("evaluation", "recall@10", 0.6),
    ]


def test_many_are_told_by_their_mean_and_a_short_fall_is_still_seen() -> None:
    values = [0.9] * 10_000
    values[5_000] = 0.1
    (curve,) = curves(measured(*values), 0, 10_001 * SECOND)
    assert len(curve["points"]) <= POINTS + 1
    assert min(low for _, _, low in curve["points"]) == 0.1
    assert all(0.88 <= mean <= 0.9 + 1e-9 for _, mean, _ in curve["points"])
    assert curve["points"][-1][0] == curve["time"] == pytest.approx(10_000)


def test_nothing_measured_is_no_curve() -> None:
    assert curves([], 0, SECOND) == []

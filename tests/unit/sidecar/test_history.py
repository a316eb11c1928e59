"""Rate and latency out of a registry, as Prometheus would work them out."""

import math
import tracemalloc

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from rag_grpc.sidecar.history import INTERVAL, KEPT, RECENT, History, quantile

LABELS = ("grpc_type", "grpc_service", "grpc_method")
QUERY = ("UNARY", "ragapi.v1.RetrievalService", "Query")


class Measured:
    """A registry with the families that are looked at, and a clock that a test turns."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.now = 100.0
        self.handled = Counter(
            "grpc_server_handled_total", "x", (*LABELS, "grpc_code"), registry=self.registry
        )
        self.handling = Histogram(
            "grpc_server_handling_seconds", "x", LABELS, buckets=(0.1, 1.0), registry=self.registry
        )
        self.stages = Histogram("rag_stage_seconds", "x", ("stage",), registry=self.registry)
        self.page = Histogram(
            "rag_page_call_seconds", "x", ("call", "reason"), buckets=(0.1, 1.0), registry=self.registry
        )
        self.history = History(self.registry, clock=lambda: self.now)

    def call(self, seconds: float, code: str = "OK") -> None:
        self.handled.labels(*QUERY, code).inc()
        self.handling.labels(*QUERY).observe(seconds)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.history.look()


@pytest.fixture
def measured() -> Measured:
    return Measured()


def test_a_quantile_lies_in_its_bucket_as_prometheus_puts_it() -> None:
    buckets = {0.1: 5.0, 0.2: 10.0, math.inf: 10.0}
    assert quantile(buckets, 0.5) == pytest.approx(0.1)
    assert quantile(buckets, 0.75) == pytest.approx(0.15)
    assert quantile(buckets, 1.0) == pytest.approx(0.2)
    assert quantile({0.1: 0.0, math.inf: 4.0}, 0.99) == 0.1
    assert quantile({0.1: 0.0, math.inf: 0.0}, 0.5) is None
    assert quantile({}, 0.5) is None


def test_a_method_has_its_rate_its_latency_and_what_failed(measured: Measured) -> None:
    for _ in range(8):
        measured.call(0.05)
    measured.call(0.5, "NOT_FOUND")
    measured.call(0.5, "NOT_FOUND")
    measured.wait(10)
    (row,) = measured.history.tell()["methods"]
    assert row["name"] == "RetrievalService/Query"
    assert (row["count"], row["rate"]) == (10, pytest.approx(1.0))
    assert row["codes"] == {"NOT_FOUND": 2}
    assert row["p50"] == pytest.approx(0.0625)
    assert row["p95"] == pytest.approx(0.1 + 0.9 * 0.75)


def test_a_curve_has_a_point_for_each_interval_with_what_came_in_it(measured: Measured) -> None:
    measured.history.look()
    for calls in (5, 0, 10):
        for _ in range(calls):
            measured.call(0.05)
        measured.wait(INTERVAL)
    points = measured.history.tell()["over_time"]
    assert [point["rate"] for point in points] == [1.0, 0.0, 2.0]
    assert [point["ago"] for point in points] == [10.0, 5.0, 0.0]
    assert [point["p95"] is None for point in points] == [False, True, False]


def test_calls_of_the_page_are_told_beside_the_others(measured: Measured) -> None:
    measured.history.look()
    measured.page.labels("search", "OK").observe(0.05)
    measured.page.labels("search", "NOT_READY").observe(0.05)
    measured.call(0.05)
    measured.wait(INTERVAL)
    told = measured.history.tell()
    assert [(row["name"], row["count"], row["codes"]) for row in told["methods"]] == [
        ("RetrievalService/Query", 1, {}),
        ("page/search", 2, {"NOT_READY": 1}),
    ]
    assert told["over_time"][0]["rate"] * INTERVAL == pytest.approx(3)
    assert told["over_time"][0]["failed"] * INTERVAL == pytest.approx(1)


def test_stages_have_a_mean(measured: Measured) -> None:
    measured.history.look()
    measured.stages.labels("embed").observe(0.25)
    measured.stages.labels("embed").observe(0.75)
    measured.wait(INTERVAL)
    (row,) = measured.history.tell()["stages"]
    assert (row["name"], row["count"], row["mean"]) == ("embed", 2, 0.5)


def test_it_looks_no_more_often_than_it_should_and_forgets(measured: Measured) -> None:
    measured.call(0.05)
    for _ in range(int(3 * KEPT)):
        measured.wait(1.0)
    told = measured.history.tell()
    assert len(told["over_time"]) == KEPT / INTERVAL
    assert told["over_time"][0]["ago"] <= KEPT
    # What came longer ago than is told of is not counted.
    assert told["methods"] == []
    assert told["recent"] == pytest.approx(RECENT, abs=INTERVAL)


def test_a_series_that_comes_late_counts_from_nothing(measured: Measured) -> None:
    measured.call(0.05)
    measured.wait(INTERVAL)
    measured.stages.labels("embed").observe(0.25)
    measured.call(0.05, "INTERNAL")
    measured.wait(INTERVAL)
    told = measured.history.tell()
    assert [(row["name"], row["count"], row["codes"]) for row in told["methods"]] == [
        ("RetrievalService/Query", 2, {"INTERNAL": 1})
    ]
    assert [(row["name"], row["count"]) for row in told["stages"]] == [("embed", 1)]
    assert [(point["rate"], point["failed"]) for point in told["over_time"]] == [(0.2, 0.0), (0.2, 0.2)]


def test_what_is_remembered_takes_little_memory(measured: Measured) -> None:
    """As dictionaries, fifteen minutes of forty methods took ten megabytes, and grew to them like a leak."""
    methods, mebibyte = 40, 1 << 20
    tracemalloc.start()
    try:
        for _ in range(round(KEPT / INTERVAL)):
            for number in range(methods):
                method = ("UNARY", "ragapi.v1.RetrievalService", f"Method{number}")
                measured.handled.labels(*method, "OK").inc()
                measured.handling.labels(*method).observe(0.05)
            measured.wait(INTERVAL)
        assert len(measured.history.tell()["methods"]) == methods
        assert tracemalloc.get_traced_memory()[0] < mebibyte
    finally:
        tracemalloc.stop()


def test_it_can_be_asked_before_time_has_gone_by(measured: Measured) -> None:
    told = measured.history.tell()
    assert (told["over_time"], told["methods"], told["recent"]) == ([], [], 0.0)

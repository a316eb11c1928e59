"""The names that dashboards know, fed rightly for all four kinds of call."""

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from prometheus_client import CollectorRegistry
from py_grpc_prometheus.prometheus_server_interceptor import PromServerInterceptor

from rag_grpc.core.errors import NotReady
from rag_grpc.rpc.call_metrics import BUCKETS
from rag_grpc.rpc.interceptors.base import CallInterceptor
from rag_grpc.rpc.interceptors.errors import Errors
from rag_grpc.rpc.interceptors.metrics import Metrics
from rag_grpc.rpc.server import methods
from tests.unit.rpc.interceptors.echo_server import Echo, Serve

WORDS = [StringValue(value=word) for word in ("ab", "cd", "ef")]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def interceptors(registry: CollectorRegistry) -> list[CallInterceptor]:
    return [Metrics(registry, methods()), Errors()]


def numbers(registry: CollectorRegistry, name: str) -> dict[tuple[str, str], float]:
    """Give the samples of test.Echo, by method and type."""
    return {
        (sample.labels["grpc_method"], sample.labels["grpc_type"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name and sample.labels.get("grpc_service") == "test.Echo" and sample.value
    }


async def test_every_kind_is_counted_and_timed(
    serve: Serve, registry: CollectorRegistry, interceptors: list[CallInterceptor]
) -> None:
    caller = await serve(interceptors)
    await caller.unary()(WORDS[0])
    await caller.collect()(iter(WORDS))
    _ = [each async for each in caller.spread()(WORDS[0])]
    _ = [each async for each in caller.both()(iter(WORDS))]
    await caller.chain.idle()
    kinds = {
        "Unary": ("UNARY", 1, 1),
        "Collect": ("CLIENT_STREAMING", 3, 1),
        "Spread": ("SERVER_STREAMING", 1, 2),
        "Both": ("BIDI_STREAMING", 3, 3),
    }
    for name in ("started_total", "handled_total", "handling_seconds_count"):
        each_once = {(method, kind): 1 for method, (kind, _, _) in kinds.items()}
        assert numbers(registry, f"grpc_server_{name}") == each_once, name
    received = {(method, kind): count for method, (kind, count, _) in kinds.items()}
    sent = {(method, kind): count for method, (kind, _, count) in kinds.items()}
    assert numbers(registry, "grpc_server_msg_received_total") == received
    assert numbers(registry, "grpc_server_msg_sent_total") == sent


async def test_a_failure_is_counted_under_its_code(
    serve: Serve, echo: Echo, registry: CollectorRegistry, interceptors: list[CallInterceptor]
) -> None:
    async def unary(request: StringValue, context: object) -> StringValue:
        raise NotReady("later")

    echo.unary = unary
    caller = await serve(interceptors, echo)
    assert await caller.unary()(WORDS[0]).code() is grpc.StatusCode.UNAVAILABLE
    # A status that is no answer is sent within Errors, so a caller has it before the call is counted.
    await caller.chain.idle()
    labels = {"grpc_type": "UNARY", "grpc_service": "test.Echo", "grpc_method": "Unary"}
    handled = registry.get_sample_value("grpc_server_handled_total", labels | {"grpc_code": "UNAVAILABLE"})
    assert handled == 1
    by_method = {"method": "test.Echo/Unary", "code": "UNAVAILABLE"}
    assert registry.get_sample_value("app_requests_total", by_method) == 1


async def test_every_method_has_its_series_from_the_start(
    registry: CollectorRegistry, interceptors: list[CallInterceptor]
) -> None:
    for method in methods():
        labels = {"grpc_type": method.type, "grpc_service": method.service, "grpc_method": method.name}
        for name in ("started_total", "msg_received_total", "msg_sent_total", "handling_seconds_count"):
            assert registry.get_sample_value(f"grpc_server_{name}", labels) == 0, (name, method)
        for code in ("OK", "INTERNAL", "INVALID_ARGUMENT", "CANCELLED"):
            handled = registry.get_sample_value("grpc_server_handled_total", labels | {"grpc_code": code})
            assert handled == 0, (code, method)


def test_names_and_labels_are_those_of_py_grpc_prometheus(
    registry: CollectorRegistry, interceptors: list[CallInterceptor]
) -> None:
    theirs = CollectorRegistry()
    PromServerInterceptor(enable_handling_time_histogram=True, registry=theirs)

    def families(of: CollectorRegistry) -> dict[str, tuple[str, tuple[str, ...]]]:
        collectors = {
            name: each for name, each in of._names_to_collectors.items() if name.startswith("grpc_")
        }
        return {
            each._name: (each._type, tuple(each._labelnames))  # type: ignore[attr-defined] # all are metrics
            for each in collectors.values()
        }

    legacy = "grpc_server_handled_latency_seconds"
    assert families(registry) == {name: each for name, each in families(theirs).items() if name != legacy}


async def test_durations_add_up(
    serve: Serve, registry: CollectorRegistry, interceptors: list[CallInterceptor]
) -> None:
    caller = await serve(interceptors)
    for expected in (1, 2):
        await caller.unary()(WORDS[0])
        await caller.chain.idle()
        assert numbers(registry, "grpc_server_handling_seconds_count") == {("Unary", "UNARY"): expected}
    buckets = [
        (sample.labels["le"], sample.value)
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "grpc_server_handling_seconds_bucket"
        and sample.labels["grpc_service"] == "test.Echo"
    ]
    assert [bound for bound, _ in buckets] == [*map(str, BUCKETS), "+Inf"]
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert buckets[-1] == ("+Inf", 2)

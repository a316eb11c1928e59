"""What is measured reaches the registry, and a server of many collections does not flood Prometheus."""

import time

import pytest
from prometheus_client import CollectorRegistry

from rag_grpc.core.store_state import CollectionStats, StoreStats, StoreStatus
from rag_grpc.rpc.convert import StructCodec
from rag_grpc.stores.memory import MemoryStore
from rag_grpc.telemetry import TOLD_APART, PrometheusTelemetry, StoreCollector


class CountedStore(MemoryStore):
    """A store whose sizes a test makes up."""

    def __init__(self, *collections: CollectionStats, **sizes: int) -> None:
        super().__init__(codec=StructCodec())
        self.made_up = StoreStats(collections, **sizes)

    def stats(self) -> StoreStats:
        return self.made_up

    def turn(self, status: StoreStatus) -> None:
        for listener in self._listeners:
            listener(status)


def registered(store: CountedStore) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(StoreCollector(store, {"rag_answer": ("The answer.", lambda: 42)}))
    return registry


@pytest.fixture
def telemetry() -> tuple[PrometheusTelemetry, CollectorRegistry]:
    registry = CollectorRegistry()
    return PrometheusTelemetry(registry, version="1.2.3", store="memory"), registry


def test_what_happens_is_counted(telemetry: tuple[PrometheusTelemetry, CollectorRegistry]) -> None:
    taken, registry = telemetry
    for seconds in (0.0002, 0.002):
        taken.stage("embed", seconds)
    taken.batch("write", 100)
    taken.turned_away("not_ready")
    taken.event("graph_rebuilt")
    taken.lag(0.2)
    for name, labels, value in (
        ("rag_stage_seconds_count", {"stage": "embed"}, 2),
        ("rag_stage_seconds_bucket", {"stage": "embed", "le": "0.00025"}, 1),
        ("rag_batch_items_sum", {"kind": "write"}, 100),
        ("rag_turned_away_total", {"reason": "not_ready"}, 1),
        ("rag_events_total", {"event": "graph_rebuilt"}, 1),
        ("rag_event_loop_lag_seconds_count", {}, 1),
        ("rag_build_info", {"version": "1.2.3", "store": "memory"}, 1),
    ):
        assert registry.get_sample_value(name, labels) == value, name


def test_sizes_are_asked_for_at_each_scrape() -> None:
    now = time.time_ns()
    store = CountedStore(
        CollectionStats(
            "a", 3, 30, graph=20, graph_dead=5, tail=10, snapshot_time=now - 60 * 10**9, replay_seconds=2.5
        ),
        CollectionStats("b", 1, 2),
        writes_waiting=4,
        disk_free_bytes=1000,
    )
    registry = registered(store)
    for name, labels, value in (
        ("rag_documents", {}, 4),
        ("rag_chunks", {}, 32),
        ("rag_collections", {}, 2),
        ("rag_queue_depth", {"queue": "write"}, 4),
        ("rag_disk_free_bytes", {}, 1000),
        ("rag_disk_used_bytes", {}, None),
        ("rag_answer", {}, 42),
        ("rag_collection_tail_chunks", {"collection": "a"}, 10),
        ("rag_collection_graph_dead_ratio", {"collection": "a"}, 0.25),
        ("rag_collection_graph_dead_ratio", {"collection": "b"}, 0),
        ("rag_collection_snapshot_age_seconds", {"collection": "b"}, None),
        ("rag_collection_replay_seconds", {"collection": "a"}, 2.5),
        ("rag_collection_replay_seconds", {"collection": "b"}, 0),
    ):
        assert registry.get_sample_value(name, labels) == value, name
    age = registry.get_sample_value("rag_collection_snapshot_age_seconds", {"collection": "a"})
    assert age is not None
    assert 60 <= age < 120
    store.made_up = StoreStats(())
    assert registry.get_sample_value("rag_documents") == 0


def test_only_the_largest_collections_are_told_apart() -> None:
    store = CountedStore(*(CollectionStats(f"c{number}", 1, number) for number in range(1000)))
    registry = registered(store)
    named = {
        sample.labels["collection"]
        for family in registry.collect()
        for sample in family.samples
        if "collection" in sample.labels
    }
    assert named == {f"c{number}" for number in range(1000 - TOLD_APART, 1000)}
    assert registry.get_sample_value("rag_documents") == 1000


def test_the_stores_state_is_heard_of() -> None:
    store = CountedStore()
    registry = registered(store)
    assert registry.get_sample_value("rag_store_readable") == 0
    store.turn(StoreStatus(can_read=True, can_write=False))
    assert registry.get_sample_value("rag_store_readable") == 1
    assert registry.get_sample_value("rag_store_writable") == 0

"""What the service measures of itself, for Prometheus.

Two halves. `PrometheusTelemetry` takes what happens, as it happens. `StoreCollector`
asks the store when Prometheus comes, so that sizes are never out of date and cost
nothing in between. docs/operations.md lists every metric, and is tested against this.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rag_grpc.core.answers import Answer
from rag_grpc.core.ports import Store
from rag_grpc.core.store_state import CollectionStats, StoreStats, StoreStatus

STAGE_BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
)  # fmt: skip
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

EVENTS = (
    "index_compacted", "index_rebuilt", "lexical_index_rebuilt", "lexical_index_refused",
    "quality_not_recorded", "snapshot_refused",
)  # fmt: skip
REFUSALS = ("not_ready", "too_many_page_calls", "too_many_reads", "too_many_streams", "too_many_writes")
"""Both counted from the start: of a series that begins with 1, Prometheus sees no increase."""

TOLD_APART = 50
"""Collections with series of their own, the largest first: a server may have 10,000 of them."""


class PrometheusTelemetry:
    """The port `Telemetry` on a registry. One instance a registry: names can be registered once."""

    def __init__(self, registry: CollectorRegistry, *, version: str, store: str) -> None:
        self._stages = Histogram(
            "rag_stage_seconds", "Time of one stage of a write or a query.", ("stage",),
            buckets=STAGE_BUCKETS, registry=registry,
        )  # fmt: skip
        self._batches = Histogram(
            "rag_batch_items", "Items worked on together.", ("kind",),
            buckets=BATCH_BUCKETS, registry=registry,
        )  # fmt: skip
        self._turned_away = Counter(
            "rag_turned_away_total", "Calls and items refused for want of room or readiness.", ("reason",),
            registry=registry,
        )  # fmt: skip
        self._events = Counter(
            "rag_events_total", "Rare events, by the names that the log uses.", ("event",), registry=registry
        )
        for reason in REFUSALS:
            self._turned_away.labels(reason)
        for event in EVENTS:
            self._events.labels(event)
        self._query_embeddings = Counter(
            "rag_query_embeddings_total", "Queries to embed, by whether the embedding was kept from before.",
            ("cached",), registry=registry,
        )  # fmt: skip
        # Both series from the start, so that a rate of hits is defined.
        self._cached = tuple(self._query_embeddings.labels(each) for each in ("no", "yes"))
        self._answers, self._tokens, self._removed = _answer_counters(registry)
        self._lag = Histogram(
            "rag_event_loop_lag_seconds", "How late the event loop ran a timer.",
            buckets=LAG_BUCKETS, registry=registry,
        )  # fmt: skip
        _describe(registry, version=version, store=store)
        # labels() takes a lock and a lookup by tuple; these are asked for many times a call.
        self._stage_series: dict[str, Histogram] = {}
        self._batch_series: dict[str, Histogram] = {}

    def stage(self, name: str, seconds: float) -> None:
        """Record how long a stage of a write or a query took."""
        series = self._stage_series.get(name)
        if series is None:
            series = self._stage_series[name] = self._stages.labels(name)
        series.observe(seconds)

    def batch(self, kind: str, size: int) -> None:
        """Record how many items were worked on together."""
        series = self._batch_series.get(kind)
        if series is None:
            series = self._batch_series[kind] = self._batches.labels(kind)
        series.observe(size)

    def turned_away(self, reason: str) -> None:
        """Count a call or an item that was refused for want of room or readiness."""
        self._turned_away.labels(reason).inc()

    def event(self, name: str) -> None:
        """Count something rare."""
        self._events.labels(name).inc()

    def query_embedding(self, cached: bool) -> None:
        """Count a query of an embedder with a cache, and whether it was there."""
        self._cached[cached].inc()

    def answered(self, answer: Answer, *, removed_citations: int) -> None:
        """Count an answer, its tokens, and the citations that were removed from it."""
        name = answer.generator
        self._answers.labels(name, "yes" if answer.grounded else "no").inc()
        self._tokens.labels(name, "input").inc(answer.input_tokens)
        self._tokens.labels(name, "output").inc(answer.output_tokens)
        self._removed.labels(name).inc(removed_citations)

    def generators(self, names: Iterable[str]) -> None:
        """Begin the series of these generators, so that a rate of them is defined from the start."""
        for name in names:
            for grounded in ("yes", "no"):
                self._answers.labels(name, grounded)
            for kind in ("input", "output"):
                self._tokens.labels(name, kind)
            self._removed.labels(name)

    def lag(self, seconds: float) -> None:
        """Record how late the event loop was."""
        self._lag.observe(seconds)


def _answer_counters(registry: CollectorRegistry) -> tuple[Counter, Counter, Counter]:
    """Make the counters of answers, of their tokens, and of the citations that were removed from them."""
    return (
        Counter(
            "rag_answers_total", "Answers, by whether the sources supported them.", ("generator", "grounded"),
            registry=registry,
        ),
        Counter(
            "rag_answer_tokens_total", "Tokens that generators read and wrote, as they count them.",
            ("generator", "kind"), registry=registry,
        ),
        Counter(
            "rag_removed_citations_total", "Citations of sources that a generator was not given.",
            ("generator",), registry=registry,
        ),
    )  # fmt: skip


def _describe(registry: CollectorRegistry, *, version: str, store: str) -> None:
    """Say what runs here, and how the process and its Python fare."""
    Info("rag_build", "What runs here.", registry=registry).info({"version": version, "store": store})
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)


class StoreCollector(Collector):
    """Asks the store for its sizes at each scrape, in the scraper's thread.

    `stats` may be called there, `status` may not: its changes are listened to. `gauges` are further
    numbers to ask for then: name -> (help, function), each callable from any thread.
    """

    def __init__(self, store: Store, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        self._store = store
        self._gauges = dict(gauges)
        self._status = store.status()
        store.subscribe(self._changed)

    def collect(self) -> Iterator[Metric]:
        """Give every family, also the empty ones, so that the list of names is always whole."""
        stats = self._store.stats()
        yield _gauge("rag_store_readable", "1 where the store can be read.", float(self._status.can_read))
        yield _gauge("rag_store_writable", "1 where it can be written.", float(self._status.can_write))
        yield _queues(stats)
        for name, (text, ask) in self._gauges.items():
            yield _gauge(name, text, ask())
        for name, text, size in (
            ("rag_disk_free_bytes", "Free space where the data lies.", stats.disk_free_bytes),
            ("rag_disk_used_bytes", "Bytes that the data takes.", stats.disk_used_bytes),
        ):
            yield _gauge(name, text, None if size is None else float(size))
        yield from _totals(stats.collections)
        yield from _each(heapq.nlargest(TOLD_APART, stats.collections, key=lambda each: each.chunks))

    def _changed(self, status: StoreStatus) -> None:
        self._status = status


def _gauge(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _queues(stats: StoreStats) -> GaugeMetricFamily:
    family = GaugeMetricFamily("rag_queue_depth", "Items that wait in the store.", labels=("queue",))
    family.add_metric(("write",), stats.writes_waiting)
    family.add_metric(("search",), stats.searches_waiting)
    return family


_SIZES: tuple[tuple[str, str, Callable[[CollectionStats], int]], ...] = (
    ("documents", "Live documents", lambda each: each.documents),
    ("chunks", "Live chunks", lambda each: each.chunks),
    ("graph_chunks", "Chunks in the graph, dead ones included", lambda each: each.graph),
    ("graph_dead_chunks", "Dead chunks in the graph", lambda each: each.graph_dead),
    ("tail_chunks", "Chunks that are not in the graph yet and are searched exactly", lambda each: each.tail),
)


def _totals(collections: Iterable[CollectionStats]) -> Iterator[GaugeMetricFamily]:
    every = tuple(collections)
    yield _gauge("rag_collections", "Collections.", float(len(every)))
    for name, text, size in _SIZES:
        yield _gauge(f"rag_{name}", f"{text}, over all collections.", float(sum(map(size, every))))


def _each(collections: list[CollectionStats]) -> Iterator[GaugeMetricFamily]:
    for name, text, size in _SIZES:
        family = _by_collection(name, text)
        for each in collections:
            family.add_metric((each.name,), size(each))
        yield family
    dead = _by_collection("graph_dead_ratio", "Share of the graph that is dead; at a quarter it is rebuilt")
    age = _by_collection("snapshot_age_seconds", "Time since the graph was last saved")
    replay = _by_collection("replay_seconds", "What a start would take to put into the graph what came since")
    for each in collections:
        dead.add_metric((each.name,), each.graph_dead / each.graph if each.graph else 0.0)
        if each.snapshot_time is not None:
            age.add_metric((each.name,), max(0.0, time.time() - each.snapshot_time / 1e9))
        replay.add_metric((each.name,), each.replay_seconds)
    yield from (dead, age, replay)


def _by_collection(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(
        f"rag_collection_{name}", f"{text}, for the largest {TOLD_APART} collections.", labels=("collection",)
    )

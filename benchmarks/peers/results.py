"""What came out: as JSON, as a table, and as ratios with the floors that they have."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.figures import Figure
from benchmarks.peers.servers import KINDS, OWN

QUERY_FLOOR, INGEST_FLOOR = 4.0, 2.5
QUERY_PEERS, INGEST_PEERS = ("Chroma", "Milvus Lite", "Milvus"), ("Chroma",)
HEAD = (
    "",
    "ef",
    "recall@10",
    "queries/s, 32 in flight",
    "median ms, 1 in flight",
    "ingest rows/s, searchable",
    "ingest rows/s, indexed",
    "memory, MB",
    "idle, % of a core",
)


@dataclass(frozen=True, slots=True)
class Ingest:
    """Rows a second until the last is found, and until the index holds all."""

    searchable: float
    indexed: float


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One effort: recall, and queries a second, 32 in flight."""

    effort: int
    recall: float
    throughput: float


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """One load: queries a second, median and 99th percentile of the latency in ms."""

    in_flight: int
    throughput: float
    p50_ms: float
    p99_ms: float


@dataclass(slots=True)
class Outcome:
    """What was measured of one contender; lists have an entry a round."""

    effort: int = 0
    recall: float = 0.0
    matched: bool = False
    batch: int = 0
    writers: int = 0
    throughput: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    ingest: list[Ingest] = field(default_factory=list)
    sweep: list[SweepPoint] = field(default_factory=list)
    load: list[LoadPoint] = field(default_factory=list)
    memory_mb: float = 0.0
    idle_share: float = 0.0
    pace: float = 0.0
    generator_us: float = 0.0
    """Processor time of the load generator a query, in the last round; 0 where it is the peer itself."""
    failure: str = ""


@dataclass(slots=True)
class Results:
    """Everything, with the facts that it depends on."""

    count: int
    outcomes: dict[str, Outcome]
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> str:
        """Return all of it as JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Results:
        """Read what `as_json` wrote."""
        values = json.loads(text)
        outcomes = {name: _outcome(each) for name, each in values.pop("outcomes").items()}
        return cls(outcomes=outcomes, **values)

    def table(self) -> str:
        """Return a table in Markdown: medians, every contender, what could not be measured too."""
        rows = [HEAD, ("---",) + ("---:",) * (len(HEAD) - 1)]
        rows += [self._row(name, outcome) for name, outcome in self.outcomes.items()]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def _row(self, name: str, outcome: Outcome) -> tuple[str, ...]:
        label = f"{name} {self._version(name)}".strip()
        if outcome.failure:
            return (f"{label}: {outcome.failure.splitlines()[0][:60]}",) + ("",) * (len(HEAD) - 1)
        return (
            label,
            str(outcome.effort),
            f"{outcome.recall:.4f}" + ("" if outcome.matched else " (not equal)"),
            f"{statistics.median(outcome.throughput):,.0f}",
            f"{statistics.median(outcome.latency_ms):.2f}",
            f"{_ingest(outcome, 'searchable'):,.0f}",
            f"{_ingest(outcome, 'indexed'):,.0f}",
            f"{outcome.memory_mb:,.0f}",
            f"{100 * outcome.idle_share:.1f}",
        )

    def _version(self, name: str) -> str:
        package = KINDS[name].package
        return self.versions.get(package if name == OWN else f"peers' {package}", "")

    def checks(self) -> Iterator[Figure]:
        """Return ratios of the own server to each peer; those that have a floor, with it."""
        own = self.outcomes[OWN]
        for name, outcome in self.outcomes.items():
            if name == OWN or outcome.failure:
                continue
            queries = statistics.median(own.throughput) / statistics.median(outcome.throughput)
            floor = QUERY_FLOOR if name in QUERY_PEERS else None
            yield Figure(f"queries, 32 in flight, to {name}", "ratio", queries, floor)
            latency = statistics.median(own.latency_ms) / statistics.median(outcome.latency_ms)
            yield Figure(f"median latency, 1 in flight, to {name} (less is better)", "ratio", latency)
            for moment in ("searchable", "indexed"):
                ingest = _ingest(own, moment) / _ingest(outcome, moment)
                floor = INGEST_FLOOR if name in INGEST_PEERS else None
                yield Figure(f"ingest until {moment}, to {name}", "ratio", ingest, floor)


def _ingest(outcome: Outcome, moment: str) -> float:
    return statistics.median(float(getattr(each, moment)) for each in outcome.ingest)


def _outcome(values: dict[str, Any]) -> Outcome:
    for name, kind in (("ingest", Ingest), ("sweep", SweepPoint), ("load", LoadPoint)):
        values[name] = [kind(**each) for each in values[name]]
    return Outcome(**values)

"""What was measured at each size of a growing collection: as JSON, as a table, and against the goals."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.growth_data import DIMENSION
from benchmarks.growth_server import Memory
from benchmarks.machine import machine, versions

M = 16
GRAPH_BYTES = 8 * M + 4 * DIMENSION + 150
"""What a graph takes for each chunk: its links, its vector, and what hnswlib keeps beside them."""
MOST_LATENCY, MOST_MEMORY, MOST_READING, SPARE_SECONDS, MOST_AFTER_KILL = 3.0, 1.35, 2.0, 3.0, 15.0
"""The goals, of the largest size: ratios and seconds."""
GOALS_FROM = 1_000_000
HEAD = (
    "   chunks  docs/s  us/doc  query ms  recall  own MB  ratio  mapped  child"
    "   clean  goal    kill  goal  behind"
)


@dataclass(slots=True)
class Row:
    """What was measured at one size. Bytes and seconds."""

    chunks: int
    ingest_rate: float = 0.0
    ingest_processor_seconds: float = 0.0
    after_ingest: Memory | None = None
    most_while_ingesting: Memory | None = None
    killed_behind: int = 0
    killed_start_seconds: float = 0.0
    stop_seconds: float = 0.0
    clean_start_seconds: float = 0.0
    reading: dict[str, float] = field(default_factory=dict)
    after_start: Memory | None = None
    after_queries: Memory | None = None
    latencies: list[float] = field(default_factory=list)
    recall: float = 0.0

    @property
    def median_latency(self) -> float:
        """The median of the rounds' medians."""
        return statistics.median(self.latencies)

    @property
    def memory_ratio(self) -> float:
        """The server's own memory to the graph's own, at its largest while no write is at work."""
        looks = [each.anonymous for each in (self.after_ingest, self.after_start, self.after_queries) if each]
        return max(looks) / (self.chunks * GRAPH_BYTES)

    @property
    def clean_goal(self) -> float:
        """Seconds that a start after a clean stop may take."""
        return MOST_READING * sum(self.reading.values()) + SPARE_SECONDS

    @property
    def killed_goal(self) -> float:
        """Seconds that a start after a kill may take."""
        return self.clean_start_seconds + MOST_AFTER_KILL

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it, with what follows from it."""
        names = ("memory_ratio", "median_latency", "clean_goal", "killed_goal")
        return asdict(self) | {"derived": {name: getattr(self, name) for name in names}}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Row:
        """Read what `plain` gave."""
        memories = ("after_ingest", "most_while_ingesting", "after_start", "after_queries")
        made = {key: value for key, value in plain.items() if key != "derived"}
        return cls(**made | {name: Memory(**made[name]) for name in memories if made[name]})


def as_json(rows: list[Row]) -> str:
    """Write all figures, with the machine's facts."""
    return json.dumps(
        {
            "machine": machine(),
            "versions": versions(),
            "graph_bytes": GRAPH_BYTES,
            "rows": [each.plain() for each in rows],
        },
        indent=1,
    )


def draw(rows: list[Row], folder: Path) -> None:
    """Draw what grows. Needs matplotlib, which the benchmarks' own environment has."""
    from benchmarks.plots import draw_growth  # noqa: PLC0415  # so that without a plot it is not needed

    memory = [(row.chunks, row.after_start.anonymous / 1e6) for row in rows if row.after_start]
    own = {
        "the server's own": memory,
        "the graph alone": [(row.chunks, row.chunks * GRAPH_BYTES / 1e6) for row in rows],
    }
    starts = {
        "after a clean stop": [(row.chunks, row.clean_start_seconds) for row in rows],
        "after a kill": [(row.chunks, row.killed_start_seconds) for row in rows],
        "reading the files": [(row.chunks, sum(row.reading.values())) for row in rows],
    }
    latency = {"one query at a time": [(row.chunks, row.median_latency * 1e3) for row in rows]}
    draw_growth(latency, "median latency, ms", folder / "growth-latency.svg")
    draw_growth(own, "memory, MB", folder / "growth-memory.svg")
    draw_growth(starts, "seconds to start", folder / "growth-start.svg")


def show(rows: list[Row]) -> None:
    """Print a table, and whether the largest size is as it must be."""
    print(HEAD)
    for row in rows:
        own, most = row.after_queries, row.most_while_ingesting
        cells = (
            f"{row.chunks:9,}",
            f"{row.ingest_rate:6,.0f}",
            f"{row.ingest_processor_seconds * 1e6:6,.0f}",
            f"{row.median_latency * 1e3:8.2f}",
            f"{row.recall:6.3f}",
            f"{own.anonymous / 1e6 if own else 0:6,.0f}",
            f"{row.memory_ratio:5.2f}",
            f"{own.mapped / 1e6 if own else 0:6,.0f}",
            f"{most.children / 1e6 if most else 0:5,.0f}",
            f"{row.clean_start_seconds:6.1f}",
            f"{row.clean_goal:4.1f}",
            f"{row.killed_start_seconds:6.1f}",
            f"{row.killed_goal:4.1f}",
            f"{row.killed_behind:6,}",
        )
        print("  ".join(cells))
    first, last = rows[0], rows[-1]
    if last.chunks < GOALS_FROM:
        print("The goals are those of a million chunks: below, the process itself outweighs them.")
        return
    for what, value, bound in (
        (
            f"median query to that of {first.chunks:,}",
            last.median_latency / first.median_latency,
            MOST_LATENCY,
        ),
        ("own memory, to the graph's", last.memory_ratio, MOST_MEMORY),
        ("seconds of a start after a clean stop", last.clean_start_seconds, last.clean_goal),
        ("seconds of a start after a kill", last.killed_start_seconds, last.killed_goal),
    ):
        print(f"{value:6.2f}  {what}: at most {bound:.2f}, {'yes' if value <= bound else 'NO'}")

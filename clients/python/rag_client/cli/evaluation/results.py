"""What an evaluation of retrieval came to, as `--json` prints it and `--compare` reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from rag_client.evaluation import RetrievalReport

AT_CUTOFF = ("recall", "precision", "ndcg", "reciprocal_rank", "hit_rate")
LABELS = {
    "recall": "recall",
    "precision": "precision",
    "ndcg": "nDCG",
    "reciprocal_rank": "reciprocal rank",
    "hit_rate": "hit rate",
}
"""What each measure is called among people."""
FORMAT = 1
"""Of the JSON. Another number would mean that it cannot be compared with this one."""


@dataclass(frozen=True, slots=True)
class QueryOutcome:
    """One query, what it should find, and what it found; `latency` in seconds."""

    query_id: str
    text: str
    relevance: Mapping[str, int]
    ndcg: float
    recall: float
    latency: float
    doc_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retrieved:
    """A whole run. `asked` is how it was queried, `about` where: server, store, collection, embedder."""

    time: str
    about: Mapping[str, Any]
    asked: Mapping[str, Any]
    cutoffs: tuple[int, ...]
    scores: Mapping[str, float]
    latency_p50: float
    latency_p99: float
    queries: tuple[QueryOutcome, ...]
    failed_documents: int = 0
    kind: str = "retrieval"
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is compared of an earlier run: its scores, latencies, and each query's nDCG."""

    time: str
    scores: Mapping[str, float]
    latency_p50: float
    latency_p99: float
    ndcg: Mapping[str, float] = field(default_factory=dict)


def measures(cutoffs: tuple[int, ...]) -> list[str]:
    """Name what a run with these cutoffs measures."""
    return [f"{name}@{k}" for k in cutoffs for name in AT_CUTOFF] + ["map"]


def named_scores(report: RetrievalReport) -> dict[str, float]:
    """Return the scores of a report under those names."""
    scores = {f"{name}@{at.k}": float(getattr(at, name)) for at in report.cutoffs for name in AT_CUTOFF}
    return {**scores, "map": report.mean_average_precision}


def shown_time(time: str) -> str:
    """Show a run's time to people, in UTC; as it stands where it is none of ours."""
    try:
        return datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return time


def read_earlier(path: Path) -> Earlier:
    """Read what an earlier `ragctl eval retrieval --json` printed. Raises BadParameter for anything else."""
    try:
        given = json.loads(path.read_text("utf-8"))
        ours = given["kind"] == "retrieval" and given["format"] == FORMAT
        earlier = _earlier(given) if ours else None
    except (ValueError, KeyError, TypeError, AttributeError):
        earlier = None
    if earlier is None:
        raise typer.BadParameter(
            f"{path} is not what ragctl eval retrieval --json prints", param_hint="--compare"
        )
    return earlier


def _earlier(given: Mapping[str, Any]) -> Earlier:
    return Earlier(
        time=str(given["time"]),
        scores={str(name): float(value) for name, value in given["scores"].items()},
        latency_p50=float(given["latency_p50"]),
        latency_p99=float(given["latency_p99"]),
        ndcg={str(each["query_id"]): float(each["ndcg"]) for each in given["queries"]},
    )

"""What a store says of itself: to health probes, and to dashboards."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What the store can do now. The reasons are for people, empty where all is well."""

    can_read: bool
    can_write: bool
    read_reason: str = ""
    write_reason: str = ""


@dataclass(frozen=True, slots=True)
class CollectionStats:
    """What a dashboard wants to know of one collection.

    `graph` counts chunks in the graph, dead ones included, `graph_dead` the dead ones, `tail` those that
    are searched exactly because they are not in the graph yet. `snapshot_time` is None where there is none;
    `replay_seconds` is what a start would take to put into the graph what came since.
    """

    name: str
    documents: int
    chunks: int
    graph: int = 0
    graph_dead: int = 0
    tail: int = 0
    snapshot_time: int | None = None
    replay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What a dashboard wants to know of the store: queue depths in items, sizes in bytes."""

    collections: tuple[CollectionStats, ...]
    writes_waiting: int = 0
    searches_waiting: int = 0
    disk_free_bytes: int | None = None
    disk_used_bytes: int | None = None

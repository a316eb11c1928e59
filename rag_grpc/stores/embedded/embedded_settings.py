"""What can be chosen of the embedded store."""

from __future__ import annotations

from dataclasses import dataclass, field

from rag_grpc.stores.embedded.dense_index import IndexParameters


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """How the embedded store works. Sizes in bytes, times in seconds.

    `tail_bound`: chunks outside a graph above which documents wait for it. `snapshot_seconds`: a snapshot is
    due when putting the chunks that came since the last one into the graph would take so long. `vfs` names
    the file layer of the writing connection, for tests that make the disk fail.
    """

    index: IndexParameters = field(default_factory=IndexParameters)
    search_threads: int = 2
    tail_bound: int = 2048
    disk_reserve_bytes: int = 64 * 1024 * 1024
    snapshot_seconds: float = 10.0
    vfs: str | None = None

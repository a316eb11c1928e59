"""What runs here, as the page shows it: release, models, health with its reasons, collections with counts.

Told whatever the state of the server is: what is not known yet, because it loads
still, is null.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rag_grpc.core.errors import RagError
from rag_grpc.core.model_ports import Embedder
from rag_grpc.core.ports import Store
from rag_grpc.core.store_state import CollectionStats
from rag_grpc.sidecar.loop_line import LoopLine

SHOWN = 100
"""Collections that are shown, the largest first: a server may have 10,000 of them."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What a server was put together from: names as settings and requests write them, defaults first."""

    version: str
    store: str
    embedders: Mapping[str, Embedder]
    rerankers: Sequence[str]
    generators: Sequence[str]
    judges: Sequence[str]


class Overview:
    """Made on the event loop, asked from other threads.

    `reason` is called on the loop and says why the server does not serve, "" where it does.
    """

    def __init__(
        self, line: LoopLine, *, installed: Installed, store: Store, reason: Callable[[], str]
    ) -> None:
        self._line = line
        self._installed = installed
        self._store = store
        self._reason = reason
        self._began = time.time()

    def tell(self) -> dict[str, Any]:
        """Tell it as JSON can hold it."""
        installed = self._installed
        stats = self._store.stats()
        largest = heapq.nlargest(SHOWN, stats.collections, key=lambda each: (each.chunks, each.documents))
        told = self._line.ask(lambda: (self._health(), [self._collection(each) for each in largest]))
        health, collections = told or (_silent(), [])
        return {
            "version": installed.version,
            "store": installed.store,
            "started": datetime.fromtimestamp(self._began, UTC).isoformat(timespec="seconds"),
            "uptime": time.time() - self._began,
            "health": health,
            "embedders": [_embedder(name, each) for name, each in installed.embedders.items()],
            "rerankers": list(installed.rerankers),
            "generators": list(installed.generators),
            "judges": list(installed.judges),
            "totals": {
                "collections": len(stats.collections),
                "documents": sum(each.documents for each in stats.collections),
                "chunks": sum(each.chunks for each in stats.collections),
            },
            "collections": [each for each in collections if each],
            "waiting": {"write": stats.writes_waiting, "search": stats.searches_waiting},
            "disk": {"free": stats.disk_free_bytes, "used": stats.disk_used_bytes},
        }

    def _health(self) -> dict[str, Any]:
        reason, status = self._reason(), self._store.status()
        writable = not reason and status.can_write
        return {
            "serving": not reason,
            "reason": reason,
            "writable": writable,
            "write_reason": "" if writable else reason or status.write_reason,
        }

    def _collection(self, stats: CollectionStats) -> dict[str, Any] | None:
        try:
            collection = self._store.collection(stats.name)
        except RagError:  # removed meanwhile, or not loaded
            return None
        return {
            "name": collection.name,
            "documents": stats.documents,
            "chunks": stats.chunks,
            "graph": stats.graph - stats.graph_dead,
            "dead": stats.graph_dead,
            "tail": stats.tail,
            "embedder": collection.embedder,
            "dimension": collection.dimension,
            "metric": collection.metric.name,
            "language": collection.language,
            "created": collection.create_time / 1e9,
        }


def _silent() -> dict[str, Any]:
    reason = "the event loop does not answer"
    return {"serving": False, "reason": reason, "writable": False, "write_reason": reason}


def _embedder(name: str, embedder: Embedder) -> dict[str, Any]:
    try:
        return {"name": name, "dimension": embedder.dimension, "max_tokens": embedder.max_tokens}
    except RagError:  # its model is being loaded
        return {"name": name, "dimension": None, "max_tokens": None}

"""What this process holds of one collection, and the view of it that searches see.

A view is immutable and published whole, by one assignment: a search that took it
sees one state of the collection, whatever is written meanwhile. Each search says
when it begins and ends, so that it is known which older rows and graph nodes are
still wanted.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from rag_grpc.core.errors import CollectionNotFound, NotReady
from rag_grpc.core.models import Collection, CollectionCounts
from rag_grpc.stores.embedded.dense_index import DenseIndex
from rag_grpc.stores.embedded.dense_search import DenseView


@dataclass(frozen=True, slots=True)
class View:
    """A collection as of `seq`."""

    seq: int
    dense: DenseView
    counts: CollectionCounts


class CollectionState:
    """One collection: its index, its published view, and who still uses older ones.

    `fault` is set where the index could not follow the database; then searches get NotReady until it was
    made anew. `births` counts chunks that came in since the last snapshot began.
    """

    def __init__(
        self, collection: Collection, index: DenseIndex, *, seq: int, counts: CollectionCounts
    ) -> None:
        self.collection = collection
        self.index = index
        self.fault = ""
        self.dropped = False
        self.births = 0
        self.snapshot_seq = -1
        self.snapshot_time: int | None = None
        self._lock = threading.Lock()
        self._in_use: Counter[int] = Counter()
        self.view = View(seq, index.view(seq), counts)

    def publish(self, seq: int, counts: CollectionCounts) -> None:
        """Let searches that begin from now on see the collection as of `seq`. Writer thread."""
        with self._lock:
            self.view = View(seq, self.index.view(seq), counts)

    def publish_counts(self, seq: int, counts: CollectionCounts) -> None:
        """Note what the database holds as of `seq`; the index that shows it comes next. Writer thread."""
        with self._lock:
            self.view = replace(self.view, seq=seq, counts=counts)

    def replace_index(self, index: DenseIndex) -> None:
        """Let searches that begin from now on use another index of the same state. Writer thread."""
        with self._lock:
            self.index = index
            self.view = View(self.view.seq, index.view(self.view.seq), self.view.counts)

    def publish_graph(self) -> None:
        """Let searches use a graph that has become useful since the last write. Index thread."""
        with self._lock:
            graph = self.index.view(self.view.seq).graph
            if graph is not self.view.dense.graph:
                self.view = replace(self.view, dense=replace(self.view.dense, graph=graph))

    @contextmanager
    def hold(self) -> Iterator[View]:
        """Take the published view for one search, and say when it is done.

        Raises CollectionNotFound and NotReady.
        """
        if self.dropped:
            raise CollectionNotFound(self.collection.name)
        if self.fault:
            raise NotReady(
                f"the index of collection {self.collection.name!r} is being rebuilt", retry_after=2
            )
        with self._lock:
            view = self.view
            self._in_use[view.seq] += 1
        try:
            yield view
        finally:
            with self._lock:
                self._in_use[view.seq] -= 1
                if not self._in_use[view.seq]:
                    del self._in_use[view.seq]

    def oldest_seq(self) -> int:
        """Return the oldest seq that a search under way, or one that begins now, can see."""
        with self._lock:
            return min(self._in_use, default=self.view.seq)

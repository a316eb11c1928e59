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
from dataclasses import dataclass

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
        """Let searches that begin from now on see the collection as of `seq`."""
        self.view = View(seq, self.index.view(seq), counts)

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

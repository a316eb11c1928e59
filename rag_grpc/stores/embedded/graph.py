"""A hnswlib graph behind a lock, with everything checked that hnswlib does not check.

hnswlib may not be searched while it is written: its maintainers say so, and searches
then fail or return torn results. So additions come in slices of a few milliseconds
between searches. The lock is fair in both directions: a waiting slice holds back new
searches, so that it comes in at all, and when it ends, all searches then waiting run
before the next slice.

hnswlib reads out of bounds for a vector of the wrong length, crashes where it was
not initialised, and fails a whole batch where one row finds fewer than k. None of it
can happen through this class. Labels are chunk ids, which are never used twice:
adding a label again would be an update in place, slow and visible half-done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TypeAlias, TypeVar

import hnswlib
import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.models import Metric
from rag_grpc.stores.embedded.large_pages import ask_for_large_pages
from rag_grpc.stores.embedded.processors import ALONE, Processors
from rag_grpc.stores.embedded.vector_file import Ids, Rows

SPACES = {Metric.COSINE: "ip", Metric.DOT: "ip", Metric.EUCLIDEAN: "l2"}
"""Rows are normalised before they come here, so that cosine is an inner product."""

GROWTH = 1.25
"""By which a full graph is made larger; a slot that stays empty costs some 45 bytes."""
EMPTY_SLOTS = 1024
"""Slots that a graph is made with beyond its rows."""

LATELY_SECONDS = 0.25
"""Who asked so short a time ago asks again: the next search would find a long change under way, though
none was under way when it began."""

OWN_THREADS_FROM = 16
"""From so many queries for each thread on, hnswlib's own threads do, which share the work out one by one."""
QUERIES_A_THREAD = 8
"""From so many queries for each thread on, several threads answer a batch."""


T = TypeVar("T", np.int64, np.float32)
Table: TypeAlias = NDArray[T] | list[NDArray[T]]
"""Rows of one length, or of any."""


def _joined(parts: list[Table[T]]) -> Table[T]:
    if len(parts) == 1:
        return parts[0]
    whole = [each for each in parts if isinstance(each, np.ndarray)]
    if len(whole) == len(parts):
        return np.concatenate(whole)
    return [row for part in parts for row in part]


class FairLock:
    """Many searches or one change, and neither starves the other."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self._clock = clock
        self._searched_at = -LATELY_SECONDS
        self._searching = 0
        self._held_back = 0
        self._change_waits = False
        self._changing = False
        self._round = 0

    @contextmanager
    def search(self) -> Iterator[None]:
        """Hold the lock beside other searches."""
        # By the lock itself: a condition's methods are Python code, and this happens for every search.
        with self._lock:
            if self._changing or self._change_waits:
                self._held_back += 1
                round_now = self._round
                while self._round == round_now:
                    self._condition.wait()
            else:
                self._searching += 1
        try:
            yield
        finally:
            with self._lock:
                self._searching -= 1
                self._searched_at = self._clock()
                if self._change_waits and not self._searching:
                    self._condition.notify_all()

    @contextmanager
    def change(self) -> Iterator[None]:
        """Hold the lock alone. Only one thread may ask for this at a time."""
        with self._condition:
            self._change_waits = True
            while self._searching:
                self._condition.wait()
            self._change_waits = False
            self._changing = True
        try:
            yield
        finally:
            with self._condition:
                self._changing = False
                self._round += 1
                self._searching += self._held_back
                self._held_back = 0
                self._condition.notify_all()

    @property
    def contended(self) -> bool:
        """Whether there are searches, or were just now, so that a change should be short."""
        lately = self._clock() - self._searched_at < LATELY_SECONDS
        return bool(self._searching or self._held_back) or lately


class Graph:
    """An approximate nearest-neighbour graph over chunk ids.

    `covered` is how many slots of the vector file it knows: those below are in it, or were dead when it
    came to them. It changes only under the lock, and `nearest` returns the value that its search saw.
    """

    def __init__(
        self,
        *,
        dimension: int,
        metric: Metric,
        m: int,
        ef_construction: int,
        capacity: int,
        file: Path | None = None,
    ) -> None:
        """Make an empty graph, or load one from a `file` that was verified before.

        Always a new hnswlib index: loading into one that exists leaves dangling pointers where it fails.
        Raises RuntimeError for a file that hnswlib cannot read.
        """
        self.dimension = dimension
        self.metric = metric
        self.covered = 0
        self.marked = 0
        self.lock = FairLock()
        self._index = hnswlib.Index(space=SPACES[metric], dim=dimension)
        if file is None:
            self._index.init_index(
                max_elements=capacity + EMPTY_SLOTS, M=m, ef_construction=ef_construction, random_seed=100
            )
        else:
            self._index.load_index(str(file), max_elements=capacity + EMPTY_SLOTS)
        ask_for_large_pages(self._least_bytes())
        # The breadth of a search is state of the whole index, so it is fixed at the smallest, and a search
        # asks for max(k, ef) neighbours instead: the same result at the same cost.
        self._index.set_ef(1)

    def __len__(self) -> int:
        """Chunks in the graph, marked ones included."""
        return int(self._index.element_count)

    @property
    def unmarked(self) -> int:
        """Chunks that a search can return."""
        return len(self) - self.marked

    def add(self, ids: Ids, rows: Rows, covered: int, *, threads: int) -> None:
        """Add chunks: `rows` (n, dimension) of finite numbers; the graph then knows `covered` slots."""
        if rows.shape != (len(ids), self.dimension):
            raise ValueError(f"rows of shape {rows.shape} for {len(ids)} ids of dimension {self.dimension}")
        with self.lock.change():
            needed = len(self) + len(ids)
            if needed > self._index.max_elements:
                self._index.resize_index(int(needed * GROWTH) + EMPTY_SLOTS)
                ask_for_large_pages(self._least_bytes())
            if len(ids):
                self._index.add_items(rows, ids.astype(np.uint64), num_threads=threads)
            self.covered = covered

    def regain_large_pages(self, go_on: Callable[[], bool] = lambda: True) -> None:
        """Have large pages after loading, and again after a fork, while `go_on`. Any thread; takes a while.

        Other graphs of this size or more have them then, too. A start does not wait for it: for a million
        chunks of 128 dimensions, 800 MB, it takes longer than to load them. What was written to while a child
        lived was copied in small pages: after a second of documents the whole graph, and the kernel's own
        thread makes 16 MB of them large in ten seconds, if any.
        """
        ask_for_large_pages(self._least_bytes(), filled=True, go_on=go_on)

    def _least_bytes(self) -> int:
        """What the one piece of memory has at least that holds vectors and links."""
        slot = 4 * self.dimension + 8 * int(self._index.M) + 12
        return int(self._index.max_elements) * slot

    def mark_dead(self, ids: Ids) -> None:
        """Keep these chunks, which are in the graph and not marked, out of all later searches."""
        with self.lock.change():
            for label in ids.tolist():
                self._index.mark_deleted(label)
            self.marked += len(ids)

    def nearest(
        self, queries: Rows, k: int, *, threads: Processors = ALONE
    ) -> tuple[Table[np.int64], Table[np.float32], int]:
        """Find up to `k` chunks for each row of `queries` (n, dimension), nearest first.

        Returns ids and hnswlib's distances, row for row, and the slots that were covered: arrays of shape
        (n, k'), where every row has as many, which is dear to take apart. A row whose search hnswlib refuses
        (it finds fewer than k where parts of the graph cannot be reached) comes back empty: the caller
        compares exactly then.
        """
        if queries.ndim != 2 or queries.shape[1] != self.dimension:  # noqa: PLR2004  # a matrix
            raise ValueError(f"queries of shape {queries.shape} for dimension {self.dimension}")
        with self.lock.search():
            covered = self.covered
            k = min(k, self.unmarked)
            if k < 1:
                none = np.empty(0, dtype=np.int64)
                return [none] * len(queries), [np.empty(0, dtype=np.float32)] * len(queries), covered
            if len(queries) >= OWN_THREADS_FROM * threads.count:
                found = [self._knn(queries, k, threads.count)]
            else:
                found = threads.spread(lambda part: self._knn(part, k), queries, least=QUERIES_A_THREAD)
        return _joined([labels for labels, _ in found]), _joined([near for _, near in found]), covered

    def _knn(self, queries: Rows, k: int, threads: int = 1) -> tuple[Table[np.int64], Table[np.float32]]:
        try:
            labels, distances = self._index.knn_query(queries, k=k, num_threads=threads)
        except RuntimeError:
            return self._one_by_one(queries, k)
        return labels.view(np.int64), distances

    def _one_by_one(self, queries: Rows, k: int) -> tuple[list[Ids], list[NDArray[np.float32]]]:
        found: list[Ids] = []
        distances: list[NDArray[np.float32]] = []
        for query in queries:
            try:
                labels, near = self._index.knn_query(query[None, :], k=k, num_threads=1)
            except RuntimeError:
                found.append(np.empty(0, dtype=np.int64))
                distances.append(np.empty(0, dtype=np.float32))
            else:
                found.append(labels[0].astype(np.int64))
                distances.append(near[0])
        return found, distances

    def save(self, file: Path) -> None:
        """Write the graph to `file`.

        Holds the GIL, and hnswlib reports no error: the caller checks the size, and calls this in a process
        that does not serve, or does so no longer.
        """
        self._index.save_index(str(file))

    def file_bytes(self) -> int:
        """Return the size that a file of the graph must have. Only where nothing changes it meanwhile."""
        return int(self._index.index_file_size())

    def bytes_in_memory(self) -> int:
        """Estimate what the graph takes in memory, to know whether a second one would fit."""
        m = int(self._index.M)
        return len(self) * (8 * m + 4 * self.dimension + 150)


def scores_of(distances: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """Turn hnswlib's distances into scores, larger for nearer."""
    if metric is Metric.EUCLIDEAN:
        return np.negative(distances)
    scores = np.subtract(1, distances, dtype=np.float32)
    if metric is Metric.COSINE:
        # The last digit of a product of unit vectors can be above 1, which no cosine is. Not by `clip`, which
        # is Python code.
        np.minimum(scores, 1, out=scores)
        np.maximum(scores, -1, out=scores)
    return scores

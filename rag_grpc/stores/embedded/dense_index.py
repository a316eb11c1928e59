"""The vectors of one collection, ready to be searched: a flat file, and a graph over most of it.

Two threads work here. The writer thread appends and kills, after its COMMIT, and
publishes a view. The index thread moves slots from the tail into the graph and
marks dead chunks there, in slices. They meet in three places that are safe without
a lock: the published `slots` (replaced whole), `died` (a death is later than any
view that could still want the chunk), and a deque of deaths.

A chunk may be taken from the graph only when no view in use is older than its
death; until then searches drop it themselves. The index thread is told the oldest
seq in use, and deaths wait in the deque until it has passed them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rag_grpc.core.models import Collection
from rag_grpc.stores.embedded.dense_search import DenseView, comparable
from rag_grpc.stores.embedded.graph import Graph
from rag_grpc.stores.embedded.graph_pace import GraphPace
from rag_grpc.stores.embedded.hit_file import HitFile
from rag_grpc.stores.embedded.place_file import PlaceFile
from rag_grpc.stores.embedded.vector_file import ALIVE, FIRST_CAPACITY, Ids, Rows, VectorFile


@dataclass(frozen=True, slots=True)
class IndexParameters:
    """How graphs are built and searched; the defaults are those of the published benchmarks.

    `graph_from`: collections of fewer chunks are compared exactly, which is faster there.
    """

    m: int = 16
    ef_construction: int = 100
    ef: int = 100
    graph_from: int = 4096
    threads: int = 2
    compact_dead_share: float = 0.25
    compact_from: int = 1024


class Born(NamedTuple):
    """Chunks that a write made: ids from `first_chunk` on, `vectors` (n, dimension) as they were given."""

    content: int
    first_chunk: int
    vectors: Rows


@dataclass(frozen=True, slots=True)
class Died:
    """Chunks of one content that a write took away, at `seq`."""

    first_chunk: int
    count: int
    seq: int


@dataclass(frozen=True, slots=True)
class Described:
    """Chunks of one content that got another version: other metadata."""

    first_chunk: int
    count: int


class DenseIndex:
    """A vector file with its graph. See the module for which thread may call what."""

    def __init__(
        self,
        path: Path,
        collection: Collection,
        parameters: IndexParameters,
        *,
        capacity: int = FIRST_CAPACITY,
    ) -> None:
        """Make an empty index over a new file at `path`. Raises StorageFull."""
        self.collection = collection
        self.parameters = parameters
        self.vectors = VectorFile(path, collection.dimension, capacity=capacity)
        self.places = PlaceFile(path.with_suffix(".places"))
        self.hits = HitFile(path.with_suffix(".hits"))
        self.graph: Graph | None = None
        self.pace = GraphPace(parameters.threads)
        self._deaths: deque[Died] = deque()
        self._marked_seq = 0

    # -- writer thread

    def reserve(self, rows: int, *, room: int | None = None) -> None:
        """See to it that `rows` more chunks fit, in at most `room` bytes of the disk. Raises StorageFull."""
        self.vectors.reserve(rows, room=room)

    def apply(self, born: list[Born], died: list[Died]) -> None:
        """Take in what a committed group did, in order of seq."""
        if born:
            vectors = np.concatenate([each.vectors for each in born])
            counts = [len(each.vectors) for each in born]
            ids = np.concatenate(
                [
                    np.arange(each.first_chunk, each.first_chunk + count, dtype=np.int64)
                    for each, count in zip(born, counts, strict=True)
                ]
            )
            contents = np.repeat(np.array([each.content for each in born], dtype=np.int64), counts)
            self.vectors.append(ids, contents, comparable(vectors, self.collection.metric))
        for each in died:
            self.vectors.kill(each.first_chunk, each.count, each.seq)
            self._deaths.append(each)

    def forget_hits(self, described: Iterable[Described]) -> None:
        """Forget what hits of these contents said; called before the view that shows their new versions."""
        slots = self.vectors.slots
        spans = []
        for each in described:
            begin = int(np.searchsorted(slots.ids[: slots.length], each.first_chunk))
            spans.append((begin, begin + each.count))
        if spans:
            self.hits.forget(spans)

    def load(self, ids: Ids, contents: Ids, vectors: Rows) -> None:
        """Append chunks as they come from the database at a start."""
        self.vectors.append(ids, contents, comparable(vectors, self.collection.metric))

    def view(self, seq: int) -> DenseView:
        """Return what a search at `seq` sees; a graph that knows less than half is no help yet."""
        slots = self.vectors.slots
        graph = self.graph if self.graph is not None and self.graph.covered * 2 >= slots.length else None
        return self.with_graph(DenseView(slots, seq, self.collection.metric, None), graph)

    def with_graph(self, view: DenseView, graph: Graph | None) -> DenseView:
        """Return a view of this index with that graph, and with what is remembered of hits."""
        if graph is None:
            # A collection that is compared exactly, as many are, is worth no file more.
            return replace(view, graph=None, places=None, hits=None)
        return replace(view, graph=graph, places=self.places, hits=self.hits)

    # -- index thread

    @property
    def in_graph(self) -> int:
        """How many chunks are in the graph, marked ones included."""
        return 0 if self.graph is None else len(self.graph)

    @property
    def tail(self) -> int:
        """Slots that are not in the graph yet; 0 where a graph is not wanted."""
        length = self.vectors.slots.length
        if self.graph is None:
            return length if length - self.vectors.dead >= self.parameters.graph_from else 0
        return length - self.graph.covered

    @property
    def wants_compaction(self) -> bool:
        """Whether dead chunks take so much that the index should be made anew."""
        dead = self.vectors.dead
        return dead >= self.parameters.compact_from and dead > (
            self.parameters.compact_dead_share * self.vectors.slots.length
        )

    def advance(self, oldest_seq: int, rows: int, *, threads: int | None = None) -> int:
        """Mark the dead that no view wants and move up to `rows` slots into the graph; return how many.

        On so many threads, or as many as the parameters say.
        """
        if self.graph is None:
            if not self.tail:
                self._due(oldest_seq)
                return 0
            self.graph = self._new_graph()
        self._mark_dead(self.graph, oldest_seq)
        return self._move(self.graph, oldest_seq, rows, threads or self.parameters.threads)

    def _new_graph(self) -> Graph:
        slots = self.vectors.slots
        return Graph(
            dimension=self.collection.dimension,
            metric=self.collection.metric,
            m=self.parameters.m,
            ef_construction=self.parameters.ef_construction,
            capacity=slots.length,
        )

    def _due(self, oldest_seq: int) -> list[Died]:
        """Take the deaths that no view in use is older than; the others stay, in whatever order."""
        due: list[Died] = []
        self._marked_seq = oldest_seq
        for _ in range(len(self._deaths)):
            death = self._deaths.popleft()
            if death.seq <= oldest_seq:
                due.append(death)
            else:
                self._deaths.append(death)
        return due

    def _mark_dead(self, graph: Graph, oldest_seq: int) -> None:
        due = self._due(oldest_seq)
        if not due or not graph.covered:
            return
        # Those behind the covered slots are not in the graph, and `_move` will pass them over.
        last = int(self.vectors.slots.ids[graph.covered - 1])
        chunks = [
            np.arange(each.first_chunk, min(each.first_chunk + each.count, last + 1), dtype=np.int64)
            for each in due
            if each.first_chunk <= last
        ]
        for part in np.array_split(np.concatenate(chunks), 1 + len(due) // 512) if chunks else ():
            graph.mark_dead(part)

    def _move(self, graph: Graph, oldest_seq: int, rows: int, threads: int) -> int:
        slots = self.vectors.slots
        start = graph.covered
        end = min(start + rows, slots.length)
        if end <= start:
            return 0
        wanted = np.flatnonzero(slots.died[start:end] > oldest_seq) + start
        graph.add(slots.ids[wanted], slots.rows[wanted], end, threads=threads)
        return end - start

    def compacted(self, path: Path, oldest_seq: int) -> tuple[DenseIndex, int]:
        """Make a new index with the chunks that live, or that a view in use may want; it has no graph yet.

        Returns it with the number of slots that it was made from: `catch_up` takes over from there.
        """
        slots = self.vectors.slots
        wanted = np.flatnonzero(slots.died[: slots.length] > oldest_seq)
        fresh = DenseIndex(path, self.collection, self.parameters, capacity=int(len(wanted) * 1.1))
        fresh._copy(self, wanted)
        return fresh, slots.length

    def catch_up(self, old: DenseIndex, through: int) -> None:
        """Take over what `old` got since this was made from its first `through` slots. Writer thread."""
        slots = old.vectors.slots
        known = self.vectors.slots
        places = slots.slots_of(known.ids[: known.length])
        died = slots.died[places]
        for place in np.flatnonzero((died != ALIVE) & (known.died[: known.length] == ALIVE)).tolist():
            self.apply([], [Died(int(known.ids[place]), 1, int(died[place]))])
        self._copy(old, np.arange(through, slots.length))

    def _copy(self, old: DenseIndex, places: Ids) -> None:
        """Append slots of `old`, with their deaths."""
        slots = old.vectors.slots
        self.vectors.append(slots.ids[places], slots.contents[places], slots.rows[places])
        died = slots.died[places]
        for place in np.flatnonzero(died != ALIVE).tolist():
            self.apply([], [Died(int(slots.ids[places[place]]), 1, int(died[place]))])

    def adopt(self, graph: Graph, members: Ids, last_chunk: int) -> bool:
        """Take a loaded graph of `members` (rising); False where it does not fit.

        It fits where it holds every living chunk up to `last_chunk`. Called before anything is served.
        """
        slots = self.vectors.slots
        covered = int(np.searchsorted(slots.ids[: slots.length], last_chunk, side="right"))
        living = slots.ids[:covered]
        if not np.isin(living, members, assume_unique=True).all():
            return False
        graph.mark_dead(np.setdiff1d(members, living, assume_unique=True))
        graph.covered = covered
        self.graph = graph
        return True

    def members(self) -> Ids:
        """Return the chunks in the graph that are not marked dead, rising."""
        slots = self.vectors.slots
        covered = 0 if self.graph is None else self.graph.covered
        # Who died later was put in, or is not marked yet.
        unmarked: Ids = slots.ids[:covered][slots.died[:covered] > self._marked_seq]
        return unmarked

    def close(self, *, remove: bool = True) -> None:
        """Let the files go; views that are still held stay readable."""
        self.vectors.close(remove=remove)
        self.places.close(remove=remove)
        self.hits.close(remove=remove)

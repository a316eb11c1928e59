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
from time import monotonic

import structlog

from rag_grpc.core.errors import CollectionNotFound, NotReady
from rag_grpc.core.models import Collection, CollectionCounts
from rag_grpc.core.store_state import CollectionStats
from rag_grpc.stores.embedded.awake_words import AwakeWords
from rag_grpc.stores.embedded.dense_index import DenseIndex
from rag_grpc.stores.embedded.dense_search import DenseView
from rag_grpc.stores.embedded.filter_index import FilterIndex, FilterView
from rag_grpc.stores.embedded.lexical_folder import LexicalFault
from rag_grpc.stores.embedded.lexical_index import LexicalIndex
from rag_grpc.stores.embedded.lexical_schema import LexicalView
from rag_grpc.stores.embedded.side import Side

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """A collection as of `seq`. `lexical` is None while the index of words is being made anew."""

    seq: int
    side: Side
    dense: DenseView
    counts: CollectionCounts
    filters: FilterView
    lexical: LexicalView | None


class CollectionState:
    """One collection: its indexes, its published view, and who still uses older ones.

    `fault` is set where the indexes could not follow the database; then searches get NotReady until they were
    made anew. `lexical_fault` likewise, for the index of words and for searches that look for words.
    `births` counts chunks that came in since the last snapshot began. `filters_seq` is as of when filters
    lie on the disk, -1 where they do not. `coming` is the index of the shadow that is being worked on, None
    where none is; `swapped_seq` is when the last one took over. `words_used_at` is when the index of words
    was last searched or written to, by time.monotonic().
    """

    def __init__(
        self,
        collection: Collection,
        side: Side,
        index: DenseIndex,
        filters: FilterIndex,
        lexical: LexicalIndex,
        *,
        seq: int,
        counts: CollectionCounts,
        awake: AwakeWords,
        lexical_fault: str = "",
    ) -> None:
        self._awake = awake
        self.collection = collection
        self.side = side
        self.index = index
        self.coming: DenseIndex | None = None
        self.swapped_seq = -1
        self.filters = filters
        self.lexical = lexical
        self.lexical_fault = lexical_fault
        # The seq from which an index of words that is being made will ask for the log.
        self.renewal_seq: int | None = None
        self.fault = ""
        self.dropped = False
        self.births = 0
        self.snapshot_seq = -1
        self.snapshot_time: int | None = None
        self.filters_seq = -1
        self.words_used_at = monotonic()
        # Held while a group is taken in, from its first word to its view, and while words are committed:
        # so the last view is always of the same seq as what a commit makes visible.
        self.following = threading.Lock()
        self._lock = threading.Lock()
        self._in_use: Counter[int] = Counter()
        self.view = self._view(seq, counts)

    def publish(self, seq: int, counts: CollectionCounts) -> None:
        """Let searches that begin from now on see the collection as of `seq`. Writer thread."""
        with self._lock:
            self.view = self._view(seq, counts)

    def publish_counts(self, seq: int, counts: CollectionCounts) -> None:
        """Note what the database holds as of `seq`; the index that shows it comes next. Writer thread."""
        with self._lock:
            self.view = replace(self.view, seq=seq, counts=counts)

    def replace_index(self, index: DenseIndex, filters: FilterIndex | None = None) -> None:
        """Let searches that begin from now on use other indexes of the same state. Writer thread."""
        with self._lock:
            self.index = index
            self.filters = filters or self.filters
            self.view = self._view(self.view.seq, self.view.counts)

    def take_over(self, collection: Collection, side: Side, index: DenseIndex, seq: int) -> None:
        """Let searches that begin from now on use another embedder's vectors, as of `seq`. Writer thread."""
        with self.following, self._lock:
            self.collection, self.side, self.index = collection, side, index
            self.coming = None
            self.swapped_seq = seq
            self.births, self.snapshot_seq, self.snapshot_time = index.vectors.slots.length, -1, None
            self.view = self._view(seq, self.view.counts)

    def close_indexes(self) -> None:
        """Let go of the vector files."""
        self.index.close()
        if self.coming is not None:
            self.coming.close()

    def replace_lexical(self, lexical: LexicalIndex) -> None:
        """Let searches that begin from now on use another index of the same words. Writer thread."""
        with self.following, self._lock:
            old, self.lexical = self.lexical, lexical
            self.lexical_fault = ""
            self.view = replace(self.view, lexical=lexical.view())
        old.close(remove=True)
        self.words_used()

    def withdraw_lexical(self, reason: str) -> None:
        """Let no search use the index of words until it was made anew. Any thread."""
        with self._lock:
            self.lexical_fault = reason
            self.view = replace(self.view, lexical=None)

    def publish_graph(self) -> None:
        """Let searches use a graph that has become useful since the last write. Index thread."""
        with self._lock:
            graph = self.index.view(self.view.seq).graph
            if graph is not self.view.dense.graph:
                self.view = replace(self.view, dense=self.index.with_graph(self.view.dense, graph))

    def commit_words(self) -> None:
        """Have what was written found by its words too. Any thread."""
        with self.following:
            if self.lexical.pending:
                self._ready_words(commit=True)
        self.words_used()

    def words(self) -> LexicalView | None:
        """Return the words as of their last commit, None while they are made anew. Any thread."""
        self.words_used_at = monotonic()
        lexical = self.view.lexical
        # By what this view has, not by what the index is now: that can be put to sleep, or wake, in between.
        if lexical is not None and lexical.searcher is None:
            with self.following:
                self._ready_words(commit=False)
                lexical = self.view.lexical
            self.words_used()
        return lexical

    def words_used(self) -> None:
        """Have others' indexes of words closed, where this one's is open and too many are. Any thread."""
        self.words_used_at = monotonic()
        if self.lexical.awake and not self.dropped:
            self._awake.used(self)

    def let_words_sleep(self) -> bool:
        """Close the index of words until it is asked for, unless it is at work or has a writer.

        Says whether there is nothing left to close here, now or later. Must not wait. Any thread.
        """
        if not self.following.acquire(blocking=False):
            return False
        try:
            if self.lexical_fault or self.dropped:
                return True
            self.lexical.sleep()
            self._publish_words()
            return not self.lexical.awake
        finally:
            self.following.release()

    def rest_words(self) -> None:
        """Close a writer that nobody has used for a while."""
        with self.following:
            self.lexical.rest()

    def _ready_words(self, *, commit: bool) -> None:
        if self.lexical_fault or self.dropped:
            return
        try:
            self.lexical.wake()
            if commit:
                self.lexical.commit()
        except LexicalFault as error:
            log.error("lexical_index_failed", collection=self.collection.name, error=str(error))  # noqa: TRY400
            self.withdraw_lexical("it could not be opened or committed")
            return
        self._publish_words()

    def _publish_words(self) -> None:
        with self._lock:
            if not self.lexical_fault:
                self.view = replace(self.view, lexical=self.lexical.view())

    def _view(self, seq: int, counts: CollectionCounts) -> View:
        lexical = None if self.lexical_fault else self.lexical.view()
        return View(seq, self.side, self.index.view(seq), counts, self.filters.view(), lexical)

    @contextmanager
    def hold(self, *, words: bool = False) -> Iterator[View]:
        """Take the published view for one search, and say when it is done; with `words`, one with all words.

        Raises CollectionNotFound and NotReady.
        """
        if self.dropped:
            raise CollectionNotFound(self.collection.name)
        if self.fault:
            raise NotReady(
                f"the index of collection {self.collection.name!r} is being rebuilt", retry_after=2
            )
        view = self._taken(words=words)
        if words:
            self.words_used()
        try:
            yield view
        finally:
            with self._lock:
                self._in_use[view.seq] -= 1
                if not self._in_use[view.seq]:
                    del self._in_use[view.seq]

    def _taken(self, *, words: bool) -> View:
        with self._lock:
            view = self.view
            if not words or view.lexical is None or view.lexical.whole:
                self._in_use[view.seq] += 1
                return view
        with self.following:
            self._ready_words(commit=True)
            with self._lock:
                self._in_use[self.view.seq] += 1
                return self.view

    def oldest_seq(self) -> int:
        """Return the oldest seq that a search under way, or one that begins now, can see."""
        with self._lock:
            return min(self._in_use, default=self.view.seq)

    def stats(self) -> CollectionStats:
        """Counts for dashboards. Any thread."""
        view, index, graph = self.view, self.index, self.index.graph
        return CollectionStats(
            name=self.collection.name,
            documents=view.counts.documents,
            chunks=view.counts.chunks,
            graph=0 if graph is None else len(graph),
            graph_dead=0 if graph is None else graph.marked,
            tail=index.tail,
            snapshot_time=self.snapshot_time,
            # What came and went since is not put in again.
            replay_seconds=max(0, min(self.births, view.counts.chunks)) * index.pace.alone if graph else 0.0,
        )

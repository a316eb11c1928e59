"""What the writer thread does when nothing waits: purges rows that nobody can see any more.

In slices of one short transaction each, so that a write that comes meanwhile waits
some milliseconds; and for many writes at a time, because each slice waits for the
disk as long as a write does: who replaces one document after the other would wait
twice for each. Deleted rows leave free pages in the database file, which later
writes fill: the file itself does not shrink. So a rest ends early where much was
written, and there is none on a full disk, where deletions are what makes room.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final

import apsw

from rag_grpc.stores.embedded.collection_rows import read_dropped
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.effects import Effects
from rag_grpc.stores.embedded.migrations import first_id
from rag_grpc.stores.embedded.restless import Restless
from rag_grpc.stores.embedded.shadow_rows import purge, read_shadow

REST_SECONDS: Final = 1.0
REST_CHANGES: Final = 16
REST_BYTES: Final = 8 * 1024 * 1024
"""A collection that was cleaned is left alone for so long, or for so many groups of writes, or until so much
was written, by which the file can have grown though its rows are dead."""
SLICE_DOCUMENTS = 200
SLICE_CHUNKS = 2000
LOG_ROWS = 10_000
"""Changes, or as many as there are documents, that are kept for filters which were saved before them. To take
in more at a start would be dearer than to make the filters anew."""


class Housekeeping:
    """Remembers what is left to do. Writer thread."""

    def __init__(
        self, states: Mapping[int, CollectionState], *, clock: Callable[[], float] = monotonic
    ) -> None:
        """`states` are the live collections."""
        self._restless = Restless(states)
        self._clock = clock
        # In the order in which they end, because all rests are of one length.
        self._rests: dict[int, float] = {}
        # Of each collection that was written to, the share of a rest that this took.
        self._used: dict[int, float] = {}
        self._cleaned = 0
        self._looked_at: dict[int, int] = {}
        self._dropped: list[int] | None = None

    def __call__(self, connection: apsw.Connection) -> bool:
        """Do one slice; return whether there is more to do."""
        self._end_rests(self._clock())
        states = [state for state in self._restless.take() if state.collection.id not in self._rests]
        # In turns: else one that always has something left would keep all the others from theirs.
        states.sort(key=lambda state: (state.collection.id <= self._cleaned, state.collection.id))
        for place, state in enumerate(states):
            if self._clean(connection, state):
                self._cleaned = state.collection.id
                self._restless.note(each.collection.id for each in states[place:])
                return True
            # Dead rows that a search under way still sees, and words that wait for a commit, stay to be done.
            left_over = self._looked_at.get(state.collection.id) != state.view.seq
            if self._used.pop(state.collection.id, 0) or left_over:
                self._rests[state.collection.id] = self._clock() + REST_SECONDS
        return self._purge_dropped(connection)

    def rouse(self) -> None:
        """End all rests."""
        self._end_rests(math.inf)

    def _end_rests(self, now: float) -> None:
        """Have those looked at next whose rest is over."""
        while self._rests:
            number = next(iter(self._rests))
            if now < self._rests[number]:
                return
            self._look_at(number)

    def note_change(self, effects: Mapping[int, Effects]) -> None:
        """Learn what a group of writes did, by collection."""
        for number, effect in effects.items():
            used = self._used.get(number, 0) + max(1 / REST_CHANGES, _bytes_written(effect) / REST_BYTES)
            self._used[number] = used
            if number not in self._rests or used >= 1:
                self._look_at(number)

    def _look_at(self, collection: int) -> None:
        """Have this one looked at next, though it rests."""
        self._rests.pop(collection, None)
        self._restless.note((collection,))

    def _clean(self, connection: apsw.Connection, state: CollectionState) -> bool:
        """Do one slice for one collection; return whether there is more to do."""
        oldest = state.oldest_seq()
        if self._looked_at.get(state.collection.id) == oldest:
            return False
        if self._purge_dead(connection, state.collection.id, oldest):
            return True
        if self._purge_other_side(connection, state, oldest):
            return True
        if not state.lexical_fault:
            with state.following:
                state.lexical.note(state.view.seq)
        if self._trim_log(connection, state, oldest):
            return True
        if not state.lexical.pending:
            self._looked_at[state.collection.id] = oldest
        return False

    def note_drop(self, collection: int) -> None:
        """Learn that a collection was dropped."""
        self._looked_at.pop(collection, None)
        self._rests.pop(collection, None)
        self._used.pop(collection, None)
        self._dropped = None

    def look_again(self, collection: int) -> None:
        """Learn that a collection may have left something to purge though nothing was written."""
        self._looked_at.pop(collection, None)
        self._look_at(collection)

    def _purge_other_side(self, connection: apsw.Connection, state: CollectionState, oldest: int) -> bool:
        """Remove vectors that another embedder's took the place of, or that nobody goes on gathering."""
        number = state.collection.id
        if oldest < state.swapped_seq or read_shadow(connection, number) is not None:
            return False
        return purge(connection, number, SLICE_CHUNKS)

    def _purge_dead(self, connection: apsw.Connection, collection: int, oldest: int) -> bool:
        rows: Any = connection.execute(
            "SELECT key, first_chunk, chunk_count FROM document WHERE collection = ? AND dead <= ? LIMIT ?",
            (collection, oldest, SLICE_DOCUMENTS),
        ).fetchall()
        taken, chunks = [], 0
        for row in rows:
            taken.append(row)
            chunks += row[2]
            if chunks >= SLICE_CHUNKS:
                break
        past = connection.execute(
            "SELECT 1 FROM document_past WHERE collection = ? AND dead <= ? LIMIT 1", (collection, oldest)
        ).fetchone()
        if not taken and past is None:
            return False
        with connection:
            for key, first, count in taken:
                for statement in (
                    "DELETE FROM embedding WHERE chunk >= ? AND chunk < ?",
                    "DELETE FROM embedding_other WHERE chunk >= ? AND chunk < ?",
                    "DELETE FROM chunk WHERE id >= ? AND id < ?",
                ):
                    connection.execute(statement, (first, first + count))
                connection.execute("DELETE FROM document_text WHERE key = ?", (key,))
                connection.execute("DELETE FROM shadow_content WHERE key = ?", (key,))
                connection.execute("DELETE FROM document WHERE key = ?", (key,))
            connection.execute(
                "DELETE FROM document_past WHERE (key, revision) IN"
                " (SELECT key, revision FROM document_past WHERE collection = ? AND dead <= ? LIMIT ?)",
                (collection, oldest, SLICE_CHUNKS),
            )
        return True

    def _trim_log(self, connection: apsw.Connection, state: CollectionState, oldest: int) -> bool:
        """Remove changes that all copies have: the words and the kept filters."""
        collection = state.collection.id
        through = min(oldest, state.lexical.durable_seq)
        if (renewal := state.renewal_seq) is not None:
            through = min(renewal, through)
        if state.filters_seq >= 0 and self._too_far(connection, state):
            # They are renewed with the graph, which patches and deletions never make due.
            state.filters_seq = -1
        if state.filters_seq >= 0:
            through = min(state.filters_seq, through)
        rows = connection.execute(
            "SELECT seq FROM change WHERE collection = ? AND seq <= ? ORDER BY seq LIMIT ?",
            (collection, through, SLICE_CHUNKS),
        ).fetchall()
        if not rows:
            return False
        last = rows[-1][0]
        with connection:
            connection.execute("UPDATE collection SET log_start = ? WHERE id = ?", (last, collection))
            connection.execute("DELETE FROM change WHERE collection = ? AND seq <= ?", (collection, last))
        return len(rows) == SLICE_CHUNKS

    def _too_far(self, connection: apsw.Connection, state: CollectionState) -> bool:
        """Whether more changed since the filters were saved than a start should take in."""
        most = max(LOG_ROWS, state.view.counts.documents)
        if state.view.seq - state.filters_seq <= most:
            return False
        # Other collections count in seqs, too, so rows decide.
        return bool(
            connection.execute(
                "SELECT 1 FROM change WHERE collection = ? AND seq > ? LIMIT 1 OFFSET ?",
                (state.collection.id, state.filters_seq, most),
            ).get
        )

    def _purge_dropped(self, connection: apsw.Connection) -> bool:
        if self._dropped is None:
            self._dropped = read_dropped(connection)
        if not self._dropped:
            return False
        collection = self._dropped[-1]
        begin, end = first_id(collection), first_id(collection + 1)
        with connection:
            removed = 0
            for table, key in (
                ("embedding", "chunk"),
                ("embedding_other", "chunk"),
                ("shadow_content", "key"),
                ("chunk", "id"),
                ("document_text", "key"),
                ("document", "key"),
                ("document_past", "key"),
            ):
                connection.execute(
                    f"DELETE FROM {table} WHERE {key} IN"  # noqa: S608  # constants
                    f" (SELECT {key} FROM {table} WHERE {key} >= ? AND {key} < ? LIMIT ?)",
                    (begin, end, SLICE_CHUNKS),
                )
                removed += connection.changes()
            if not removed:
                connection.execute("DELETE FROM change WHERE collection = ?", (collection,))
                connection.execute("DELETE FROM shadow WHERE collection = ?", (collection,))
                connection.execute("DELETE FROM collection WHERE id = ?", (collection,))
                self._dropped.pop()
        return True


def _bytes_written(effects: Effects) -> int:
    """Estimate what a group added to the database for one collection: texts and vectors."""
    texts = sum(len(each.document.text) for each in effects.stored)
    return texts + sum(each.vectors.nbytes for each in effects.born)

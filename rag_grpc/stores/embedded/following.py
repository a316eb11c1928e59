"""How the indexes follow what was committed: the writer thread's side of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import apsw
import structlog

from rag_grpc.core.errors import RagError
from rag_grpc.core.models import CollectionCounts, PutDocument
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.effects import Effects
from rag_grpc.stores.embedded.index_thread import IndexThread
from rag_grpc.stores.embedded.lexical_folder import LexicalFault
from rag_grpc.stores.embedded.lexical_index import EAGER_CHUNKS
from rag_grpc.stores.embedded.lexical_rows import chunk_texts
from rag_grpc.stores.embedded.right_of_way import RightOfWay
from rag_grpc.stores.embedded.room import Room
from rag_grpc.stores.embedded.tails import TailBounds

log = structlog.get_logger(__name__)

TAIL_WAIT_SECONDS = 30.0
"""How long a group waits for the graphs; then it goes on, and searches compare a longer tail."""


class IndexFollower:
    """Makes room before a group, and publishes new views after it. See group_commit.Follower."""

    def __init__(
        self,
        states: Mapping[int, CollectionState],
        room: Room,
        indexes: IndexThread,
        *,
        tails: TailBounds,
        connection: Callable[[], apsw.Connection | None],
        changed: Callable[[Mapping[int, Effects]], None],
        failed: Callable[[str], None],
        right_of_way: RightOfWay,
    ) -> None:
        """`tails` says which tails new documents may meet; `failed` takes a failure's reason.

        `changed` is told after each group what it did to which collection.
        """
        self._states = states
        self._room = room
        self._indexes = indexes
        self._tails = tails
        self._connection = connection
        self._changed = changed
        self._failed = failed
        self._right_of_way = right_of_way

    def before(self, puts: list[PutDocument]) -> RagError | None:
        """Wait for graphs that are far behind, then see to room on the disk."""
        behind = [
            (state, self._tails.before_writing(state.index.tail, chunks))
            for number, chunks in _chunks_of(puts).items()
            if (state := self._states.get(number)) is not None and state.index.tail > self._tails.rows
        ]
        if behind:
            self._indexes.wait_for_tails(behind, timeout=TAIL_WAIT_SECONDS)
        return self._room.refuse(puts, self._connection())

    def after(self, effects: dict[int, Effects], seq: int) -> None:
        """Publish the new view of each collection that the group changed.

        A failure here must not fail the writes, which are on disk: the index is made anew, and until then
        searches get NotReady rather than an answer that misses something.
        """
        for number, effect in effects.items():
            state = self._states.get(number)
            if state is None:
                continue
            # Not in the block: a search that needs these words waits for it, and would be waited for.
            self._right_of_way.give()
            with state.following:
                _write_words(state, effect, seq)
                _publish(state, effect, seq)
            state.words_used()
        self._changed(effects)
        self._indexes.nudge(effects)

    def diverged(self) -> None:
        """Have all indexes made anew."""
        for state in list(self._states.values()):
            state.fault = "the database has more than the index was told"
            state.withdraw_lexical(state.fault)
        self._indexes.nudge_all()

    def failed(self, reason: str) -> None:
        """Pass on that the database failed, or works again."""
        self._failed(reason)


def _chunks_of(puts: list[PutDocument]) -> Counter[int]:
    """Count what is to be written for each collection."""
    chunks: Counter[int] = Counter()
    for put in puts:
        chunks[put.collection.id] += len(put.document.chunks)
    return chunks


def _publish(state: CollectionState, effect: Effects, seq: int) -> None:
    if state.fault:
        return
    try:
        state.index.forget_hits(effect.described)
        state.index.apply(effect.born, effect.died)
        state.filters.apply(effect.versions, effect.died)
        if state.filters.wants_compaction:
            state.filters = state.filters.compacted()
        state.births += sum(len(each.vectors) for each in effect.born)
        state.publish(seq, CollectionCounts(effect.counters.documents, effect.counters.chunks))
    except Exception:
        log.exception("index_failed", collection=state.collection.name)
        state.fault = "the index could not follow a write"


def _write_words(state: CollectionState, effect: Effects, seq: int) -> None:
    """Tell the index of words; what came together is committed at once if it is much."""
    lexical = state.lexical
    if state.lexical_fault:
        return
    try:
        for each in effect.stored:
            lexical.add(chunk_texts(each))
        # Last, because a content can have come and gone in one group.
        if effect.buried:
            lexical.delete(effect.buried)
        lexical.added_seq = seq
        if lexical.pending >= EAGER_CHUNKS or lexical.crowded:
            lexical.commit()
    except LexicalFault as error:
        log.error("lexical_index_failed", collection=state.collection.name, error=str(error))  # noqa: TRY400 # known
        state.withdraw_lexical("it could not follow a write")

"""What an index of words needs beside writes: commits in quiet moments, and to be made anew.

It is made anew where it failed, and where a fifth of it is dead: deleted chunks count in
BM25's statistics until tantivy happens to merge their segment, which it may never do.
That goes on in a thread of its own, beside the live index, and takes a second for some
thousand chunks; the writer thread then brings the new index up to date from the log,
as a start does, and puts it in place between two groups. One at a time.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

import apsw
import structlog

from rag_grpc.core.errors import NotReady, RagError
from rag_grpc.core.ports import Telemetry
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.database import last_seq
from rag_grpc.stores.embedded.lexical_folder import LexicalFault
from rag_grpc.stores.embedded.lexical_index import LexicalIndex
from rag_grpc.stores.embedded.lexical_rows import LexicalLoader
from rag_grpc.stores.embedded.store_thread import StoreThread
from rag_grpc.stores.embedded.writer import Task

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 10.0

Post = Callable[[Task], concurrent.futures.Future[object]]


class LexicalKeeper:
    """Looks after indexes of words, in the index thread."""

    def __init__(
        self,
        loader: LexicalLoader,
        telemetry: Telemetry,
        *,
        open_reader: Callable[[], apsw.Connection],
        chunks: Callable[[int], int],
    ) -> None:
        """`chunks` counts a collection's, as of the last group; asked in the writer thread."""
        self._loader = loader
        self._telemetry = telemetry
        self._open_reader = open_reader
        self._chunks = chunks
        self._not_before = 0.0
        self._thread: threading.Thread | None = None

    def look_after(self, state: CollectionState, post: Post) -> None:
        """Do for one collection what is due. `post` queues a task for the writer thread."""
        if state.lexical.quiet:
            state.commit_words()
        if self._thread is not None and self._thread.is_alive():
            return
        if monotonic() < self._not_before or not (state.lexical_fault or state.lexical.wants_renewal):
            return
        self._not_before = monotonic() + RETRY_SECONDS
        self._thread = StoreThread(target=self._renew, args=(state, post), name="words")
        self._thread.start()

    def stop(self) -> None:
        """End what is under way. Blocks."""
        self._loader.stopping = True
        if self._thread is not None:
            self._thread.join()

    # -- the thread

    def _renew(self, state: CollectionState, post: Post) -> None:
        made: LexicalIndex | None = None
        try:
            reader = self._open_reader()
            try:
                seq = last_seq(reader)
                # From here on the log is kept, so that what comes meanwhile can be read from it.
                state.renewal_seq = seq
                made = self._loader.build(reader, state.collection, seq)
            finally:
                reader.close()
            self._await(post(lambda connection: self._put_in_place(connection, state, made)))
        except (LexicalFault, RagError, apsw.Error, OSError) as error:
            if made is not None and made is not state.lexical:
                made.close(remove=True)
            if not self._loader.stopping:
                log.error("lexical_index_failed", collection=state.collection.name, error=str(error))  # noqa: TRY400
        else:
            self._not_before = monotonic()
            self._telemetry.event("lexical_index_rebuilt")
            log.info("lexical_index_rebuilt", collection=state.collection.name, chunks=state.lexical.chunks)
        finally:
            state.renewal_seq = None

    def _await(self, future: concurrent.futures.Future[object]) -> None:
        """Wait for the writer thread, which at a stop does not come to it any more."""
        while not future.done():
            with suppress(TimeoutError):
                future.result(timeout=0.2)
            if self._loader.stopping and not future.done():
                raise NotReady("the store stops")
        outcome = future.result()
        if isinstance(outcome, Exception):
            raise outcome

    def _put_in_place(
        self, connection: apsw.Connection, state: CollectionState, made: LexicalIndex
    ) -> Exception | None:
        """Bring it up to date and publish it. Writer thread."""
        try:
            if not state.dropped:
                number = state.collection.id
                seq = last_seq(connection)
                self._loader.complete(connection, made, chunks=self._chunks(number), seq=seq)
                state.replace_lexical(made)
        except (LexicalFault, OSError) as error:
            return error
        if state.dropped:
            made.close(remove=True)
        return None

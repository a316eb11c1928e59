"""The thread that moves what a start loaded into large pages, beside the first searches.

hnswlib takes memory and fills it in one call, so that nobody can ask for large pages in between; and
to move a graph into them takes longer than to load it. A start that waited for it was two fifths
longer. A thread of its own, since the index thread has documents to take in, and searches go on.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress

from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.store_thread import StoreThread


class PageThread:
    """Begun once, with what is loaded then."""

    def __init__(self, states: Mapping[int, CollectionState]) -> None:
        """`states` are the live collections."""
        self._states = states
        self._over = threading.Event()
        self._thread = StoreThread(target=self._run, name="pages")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, with the page that is being made. Blocks."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        for state in list(self._states.values()):
            graph = state.index.graph
            if graph is not None and self._goes_on():
                with suppress(OSError):  # no file to spare to read of the process's memory: it does without
                    graph.regain_large_pages(self._goes_on)

    def _goes_on(self) -> bool:
        return not self._over.is_set()

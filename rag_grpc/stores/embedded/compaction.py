"""An index that is made anew without its dead, beside the live one that goes on."""

from __future__ import annotations

import concurrent.futures
from dataclasses import dataclass

from rag_grpc.core.errors import StorageFault
from rag_grpc.stores.embedded.collection_state import CollectionState
from rag_grpc.stores.embedded.dense_index import DenseIndex

ROOM_FACTOR = 1.2
"""What the new vector file may take, as a multiple of the rows that live."""


@dataclass(slots=True)
class Compaction:
    """`fresh` is made from the first `through` slots of `old`; `swap` is the task that puts it in place."""

    state: CollectionState
    old: DenseIndex
    fresh: DenseIndex
    through: int
    swap: concurrent.futures.Future[object] | None = None

    def put_in_place(self) -> None:
        """Bring the new index up to the old one's state and let searches use it. Writer thread.

        Raises StorageFault where another one has taken the old one's place.
        """
        if self.state.index is not self.old:
            raise StorageFault("another index has taken the old one's place")
        self.fresh.catch_up(self.old, self.through)
        self.state.replace_index(self.fresh)

    def close_unused(self) -> None:
        """Let go of the one of the two that is not in use, whether or not the swap came to pass."""
        (self.old if self.state.index is self.fresh else self.fresh).close()

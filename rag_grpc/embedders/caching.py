"""A cache before an embedder: the vectors of queries that were asked before.

People ask the same things, and a page of hits asks its query again for the next page. A
model takes milliseconds for a query, a look-up microseconds. Documents are not kept:
their text hardly comes twice, and ingestion recognises what has not changed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.model_ports import Embedder, Tokenizer

_OVERHEAD: Final = 250
"""Bytes of an entry beside text and numbers: the objects' heads and the table's places."""


class CachingEmbedder:
    """An Embedder that asks another one for queries that it has not seen lately. Safe from any thread."""

    def __init__(
        self, inner: Embedder, *, max_bytes: int, counted: Callable[[bool], None] = lambda _: None
    ) -> None:
        """Keep about `max_bytes` of vectors; `counted` is told for each query whether it was there."""
        self._inner = inner
        self._max_bytes = max_bytes
        self._counted = counted
        self._lock = threading.Lock()
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._bytes = 0

    @property
    def name(self) -> str:
        """The inner one's."""
        return self._inner.name

    @property
    def dimension(self) -> int:
        """The inner one's."""
        return self._inner.dimension

    @property
    def fingerprint(self) -> str:
        """The inner one's."""
        return self._inner.fingerprint

    @property
    def max_batch(self) -> int:
        """The inner one's."""
        return self._inner.max_batch

    @property
    def max_tokens(self) -> int:
        """The inner one's."""
        return self._inner.max_tokens

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The inner one's."""
        return self._inner.tokenizer

    @property
    def dense_weight(self) -> float:
        """The inner one's."""
        return self._inner.dense_weight

    @property
    def bytes_in_use(self) -> int:
        """About how much memory the cache takes."""
        return self._bytes

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages; none is kept."""
        return self._inner.embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed queries, asking the inner embedder, once, for those alone that are not here."""
        found = self._found(texts)
        missing = list(dict.fromkeys(text for text in texts if text not in found))
        for text in texts:
            self._counted(text in found)
        if missing:
            # Unlocked: two threads may both ask for a text, and both are given the same.
            found |= zip(missing, self._inner.embed_queries(missing), strict=True)
            self._keep({text: found[text] for text in missing})
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            vectors[row] = found[text]
        return vectors

    def _found(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        found = {}
        with self._lock:
            for text in texts:
                vector = self._vectors.get(text)
                if vector is not None:
                    self._vectors.move_to_end(text)
                    found[text] = vector
        return found

    def _keep(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        # A copy each: a row would keep the whole batch alive.
        entries = [(text, row.copy(), _size(text, row)) for text, row in vectors.items()]
        with self._lock:
            for text, row, size in entries:
                # What is larger than an eighth of all would push too much out for one query.
                if 8 * size > self._max_bytes or not np.isfinite(row).all():
                    continue
                if text not in self._vectors:
                    self._bytes += size
                self._vectors[text] = row
            while self._bytes > self._max_bytes:
                oldest, row = self._vectors.popitem(last=False)
                self._bytes -= _size(oldest, row)


def _size(text: str, row: NDArray[np.float32]) -> int:
    # Four bytes a character is what Python needs at most.
    return _OVERHEAD + 4 * len(text) + row.nbytes

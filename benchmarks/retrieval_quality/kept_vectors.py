"""An embedder that remembers on disk what it embedded, so that measuring again takes seconds.

By fingerprint and text: another model, or another setting of it, has another file.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.ports import Embedder, Tokenizer

Rows = NDArray[np.float32]


class KeptVectors:
    """An Embedder around another one."""

    def __init__(self, inner: Embedder, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._inner = inner
        self._lock = threading.Lock()
        name = hashlib.sha256(inner.fingerprint.encode()).hexdigest()[:16]
        self._database = sqlite3.connect(folder / f"vectors-{name}.sqlite3", check_same_thread=False)
        self._database.execute("CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, vector BLOB)")
        self.computed = 0

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

    def embed(self, texts: Sequence[str]) -> Rows:
        """Embed passages, or remember them."""
        return self._kept("passage", texts, self._inner.embed)

    def embed_queries(self, texts: Sequence[str]) -> Rows:
        """Embed queries, or remember them."""
        return self._kept("query", texts, self._inner.embed_queries)

    def _kept(self, kind: str, texts: Sequence[str], make: Callable[[Sequence[str]], Rows]) -> Rows:
        keys = [hashlib.sha256(f"{kind}\0{text}".encode()).digest() for text in texts]
        rows = np.empty((len(texts), self.dimension), np.float32)
        missing = []
        with self._lock:
            for place, key in enumerate(keys):
                row = self._database.execute("SELECT vector FROM kept WHERE key = ?", (key,)).fetchone()
                if row is None:
                    missing.append(place)
                else:
                    rows[place] = np.frombuffer(row[0], "<f4")
        if missing:
            rows[missing] = make([texts[place] for place in missing])
            with self._lock, self._database:
                self.computed += len(missing)
                self._database.executemany(
                    "INSERT OR REPLACE INTO kept VALUES (?, ?)",
                    [(keys[place], rows[place].astype("<f4").tobytes()) for place in missing],
                )
        return rows

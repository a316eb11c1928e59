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

from rag_grpc.core.model_ports import Embedder
from rag_grpc.embedders.caching import CachingEmbedder

Rows = NDArray[np.float32]


class KeptVectors(CachingEmbedder):
    """Says of itself what the other one says; keeps passages too, and on disk."""

    def __init__(self, inner: Embedder, folder: Path) -> None:
        super().__init__(inner, max_bytes=0)
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        name = hashlib.sha256(inner.fingerprint.encode()).hexdigest()[:16]
        self._database = sqlite3.connect(folder / f"vectors-{name}.sqlite3", check_same_thread=False)
        self._database.execute("CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, vector BLOB)")
        self.computed = 0

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

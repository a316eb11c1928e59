"""Chroma's server, through its HTTP client."""

from __future__ import annotations

import json
import time
from typing import Any

import chromadb
import httpx
import numpy as np
from chromadb.config import Settings
from numpy.typing import NDArray

from benchmarks.peers.drivers.driver import (
    COLLECTION,
    EF,
    EF_CONSTRUCTION,
    Answer,
    Asked,
    K,
    M,
    found,
    spread,
)
from benchmarks.peers.drivers.rows import Stored, slices, whole

FIELDS: Any = ["documents", "metadatas", "distances"]


class ChromaDriver:
    """Drives Chroma: it keeps words and metadata in SQLite beside the graph, always."""

    batch = 5000
    writers = 1

    def __init__(self, asked: Asked) -> None:
        host, port = asked.address.split(":")
        settings = Settings(anonymized_telemetry=False)
        self._client: Any = chromadb.HttpClient(host=host, port=int(port), settings=settings)

    def ingest(self, rows: Stored, batch: int, writers: int) -> dict[str, float]:
        """Add, then find the last; a query sees all that was added, so there is no later moment."""
        hnsw = {"space": "cosine", "max_neighbors": M, "ef_construction": EF_CONSTRUCTION, "ef_search": EF}
        collection = self._client.create_collection(
            COLLECTION, configuration={"hnsw": hnsw}, embedding_function=None
        )
        began = time.perf_counter()

        def write(part: slice) -> None:
            collection.add(
                ids=rows.ids[part],
                embeddings=rows.vectors[part],
                documents=rows.texts[part],
                metadatas=rows.metadata[part],
            )

        spread(write, slices(len(rows.ids), batch), writers)
        last = rows.vectors[-1:]
        found(lambda: collection.query(query_embeddings=last, n_results=1)["ids"][0][:1] == [rows.ids[-1]])
        seconds = time.perf_counter() - began
        return {"searchable": seconds, "indexed": seconds}

    def effort(self, effort: int) -> bool:
        """A graph that is open keeps the ef with which it was opened: the server has to start again."""
        self._client.get_collection(COLLECTION, embedding_function=None).modify(
            configuration={"hnsw": {"ef_search": effort}}
        )
        return True

    def requests(self, queries: NDArray[np.float32]) -> list[bytes]:
        """Record the client, by a hook of the HTTP library that it is built on."""
        collection = self._client.get_collection(COLLECTION, embedding_function=None)
        recorded: list[bytes] = []
        session: httpx.Client = self._client._server._session  # noqa: SLF001 - there is no public way
        session.event_hooks["request"] = [lambda request: recorded.append(_as_sent(request))]
        for query in queries:
            collection.query(query_embeddings=query[np.newaxis], n_results=K, include=FIELDS)
        session.event_hooks["request"] = []
        return recorded

    def answer(self, response: bytes) -> Answer:
        """Read the body of an answer."""
        body = json.loads(response)
        hits = zip(body["documents"][0], body["metadatas"][0], strict=True)
        return Answer([1 - distance for distance in body["distances"][0]], all(whole(*hit) for hit in hits))


def _as_sent(request: httpx.Request) -> bytes:
    head = b"".join(name + b": " + value + b"\r\n" for name, value in request.headers.raw)
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (
        request.method.encode(),
        request.url.raw_path,
        head,
        request.content,
    )

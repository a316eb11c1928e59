"""This project's server, through its own client, by the same rules as the peers."""

from __future__ import annotations

import time
import urllib.request

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.drivers.driver import DIMENSION, EF, Answer, Asked, K, found
from benchmarks.peers.drivers.recorder import recorder
from benchmarks.peers.drivers.rows import Stored, whole
from rag_client import Chunk, Document, IngestPolicy, RagClient
from ragapi.v1 import retrieval_service_pb2

COLLECTION = "bench"
METHOD = "/ragapi.v1.RetrievalService/Query"


class OwnDriver:
    """Drives rag-grpc."""

    batch = 1000
    writers = 4

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._effort = EF

    def ingest(self, rows: Stored, batch: int, writers: int) -> dict[str, float]:
        """One stream, with `writers` messages in its window; then find the last, then wait for the graph."""
        documents = [
            Document(doc_id, metadata=metadata, chunks=[Chunk(text, vector=vector)])
            for doc_id, text, metadata, vector in zip(
                rows.ids, rows.texts, rows.metadata, rows.vectors, strict=True
            )
        ]
        with RagClient(self._asked.address, timeout=60) as client:
            client.create_collection(COLLECTION, embedder="none", dimension=DIMENSION)
            began = time.perf_counter()
            policy = IngestPolicy(batch_documents=batch, batch_bytes=3 << 20, window=writers)
            for result in client.ingest_stream(documents, collection=COLLECTION, policy=policy):
                if result.status != "created":
                    raise RuntimeError(f"{result.doc_id} is {result.status}: {result.error}")
            found(lambda: _nearest(client, rows.vectors[-1]) == rows.ids[-1])
            searchable = time.perf_counter() - began
        found(lambda: self._tail() == 0)
        return {"searchable": searchable, "indexed": time.perf_counter() - began}

    def _tail(self) -> float:
        with urllib.request.urlopen(f"http://{self._asked.http}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("rag_tail_chunks"))

    def effort(self, effort: int) -> bool:
        """Ef goes with each query."""
        self._effort = effort
        return False

    def requests(self, queries: NDArray[np.float32]) -> list[bytes]:
        """Record the client."""
        with (
            recorder(self._asked.address, METHOD) as (port, requests),
            RagClient(f"127.0.0.1:{port}", timeout=60) as client,
        ):
            for query in queries:
                client.query("", vector=query, collection=COLLECTION, top_k=K, ef=self._effort)
        return requests

    def answer(self, response: bytes) -> Answer:
        """Read a QueryResponse."""
        hits = retrieval_service_pb2.QueryResponse.FromString(response).results
        return Answer([hit.score for hit in hits], all(whole(hit.chunk.text, hit.metadata) for hit in hits))


def _nearest(client: RagClient, vector: NDArray[np.float32]) -> str:
    return client.query("", vector=vector, collection=COLLECTION, top_k=1).hits[0].doc_id

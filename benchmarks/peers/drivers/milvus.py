"""Milvus and Milvus Lite: one protocol, one client."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient
from pymilvus.client.search_result import SearchResult
from pymilvus.grpc_gen import milvus_pb2

from benchmarks.peers.drivers.driver import (
    COLLECTION,
    DIMENSION,
    EF,
    EF_CONSTRUCTION,
    Answer,
    Asked,
    K,
    M,
    found,
    spread,
)
from benchmarks.peers.drivers.recorder import recorder
from benchmarks.peers.drivers.rows import Stored, slices, whole

METHOD = "/milvus.proto.milvus.MilvusService/Search"


class MilvusDriver:
    """Drives Milvus: ids, vectors under HNSW, texts, metadata as JSON; nothing else is indexed."""

    batch = 5000
    writers = 2

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._effort = EF

    def _client(self, address: str) -> Any:
        return MilvusClient(uri=f"http://{address}")

    def ingest(self, rows: Stored, batch: int, writers: int) -> dict[str, float]:
        """Insert, find the last by a strongly consistent search, then flush and wait for the graph."""
        client = self._client(self._asked.address)
        _create(client)
        items = [
            {"id": doc_id, "vector": vector, "text": text, "metadata": metadata}
            for doc_id, vector, text, metadata in zip(
                rows.ids, rows.vectors, rows.texts, rows.metadata, strict=True
            )
        ]
        began = time.perf_counter()
        spread(lambda part: client.insert(COLLECTION, items[part]), slices(len(items), batch), writers)
        found(lambda: _nearest(client, rows.vectors[-1]) == rows.ids[-1])
        searchable = time.perf_counter() - began
        client.flush(COLLECTION)
        found(lambda: _indexed(client))
        found(lambda: _nearest(client, rows.vectors[-1]) == rows.ids[-1])
        indexed = time.perf_counter() - began
        client.close()
        return {"searchable": searchable, "indexed": indexed}

    def effort(self, effort: int) -> bool:
        """Ef goes with each query."""
        self._effort = effort
        return False

    def requests(self, queries: NDArray[np.float32]) -> list[bytes]:
        """Record the client; Bounded, the default, does not wait for what was written last."""
        with recorder(self._asked.address, METHOD) as (port, requests):
            client = self._client(f"127.0.0.1:{port}")
            for query in queries:
                client.search(COLLECTION, [query.tolist()], limit=K, **_options(self._effort, "Bounded"))
            client.close()
        return requests

    def answer(self, response: bytes) -> Answer:
        """Read SearchResults; with COSINE a distance is a cosine."""
        message = milvus_pb2.SearchResults.FromString(response)
        if message.status.code or message.status.error_code:
            raise RuntimeError(message.status.reason)
        hits = SearchResult(message.results)[0]
        kept = [hit["entity"] for hit in hits]
        return Answer(
            [hit["distance"] for hit in hits], all(whole(hit["text"], hit["metadata"]) for hit in kept)
        )


def _create(client: Any) -> None:
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
    schema.add_field("text", DataType.VARCHAR, max_length=512)
    schema.add_field("metadata", DataType.JSON)
    index = client.prepare_index_params()
    index.add_index(
        "vector", index_type="HNSW", metric_type="COSINE", params={"M": M, "efConstruction": EF_CONSTRUCTION}
    )
    client.create_collection(COLLECTION, schema=schema, index_params=index)


def _options(effort: int, consistency: str) -> dict[str, Any]:
    return {
        "search_params": {"metric_type": "COSINE", "params": {"ef": effort}},
        "output_fields": ["text", "metadata"],
        "consistency_level": consistency,
    }


def _nearest(client: Any, vector: NDArray[np.float32]) -> str:
    hits = client.search(COLLECTION, [vector.tolist()], limit=1, **_options(EF, "Strong"))[0]
    return str(hits[0]["id"]) if hits else ""


def _indexed(client: Any) -> bool:
    state = client.describe_index(COLLECTION, "vector")
    return bool(state["state"] == "Finished" and state["pending_index_rows"] == 0)

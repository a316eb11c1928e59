"""Weaviate, through its gRPC client."""

from __future__ import annotations

import time
import uuid
from typing import Any

import numpy as np
import weaviate
from numpy.typing import NDArray
from weaviate.classes.config import Configure, DataType, Property, Reconfigure, VectorDistances
from weaviate.classes.query import MetadataQuery
from weaviate.proto.v1 import search_get_pb2

from benchmarks.peers.drivers.driver import COLLECTION, EF, EF_CONSTRUCTION, Answer, Asked, K, M, found
from benchmarks.peers.drivers.recorder import recorder
from benchmarks.peers.drivers.rows import Stored, whole

METHOD = "/weaviate.v1.Weaviate/Search"
KINDS = {"text": DataType.TEXT, "number": DataType.INT, "lang": DataType.TEXT, "source": DataType.TEXT}


class WeaviateDriver:
    """Drives Weaviate: all properties under its inverted index, as it does by itself; full vectors."""

    batch = 1000
    writers = 2

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def _client(self, grpc_port: int) -> weaviate.WeaviateClient:
        host, port = self._asked.http.split(":")
        return weaviate.connect_to_custom(
            http_host=host,
            http_port=int(port),
            http_secure=False,
            grpc_host=host,
            grpc_port=grpc_port,
            grpc_secure=False,
        )

    def _direct(self) -> weaviate.WeaviateClient:
        return self._client(int(self._asked.address.split(":")[1]))

    def ingest(self, rows: Stored, batch: int, writers: int) -> dict[str, float]:
        """Import by the client's batches, then find the last; the graph is written with the object."""
        properties = [
            {"text": text, **metadata} for text, metadata in zip(rows.texts, rows.metadata, strict=True)
        ]
        with self._direct() as client:
            collection = _create(client)
            began = time.perf_counter()
            with client.batch.fixed_size(batch_size=batch, concurrent_requests=writers) as batches:
                for number, vector in enumerate(rows.vectors):
                    batches.add_object(
                        COLLECTION, properties=properties[number], vector=vector, uuid=uuid.UUID(int=number)
                    )
            if client.batch.failed_objects:
                raise RuntimeError(str(client.batch.failed_objects[0]))
            last = rows.vectors[-1].tolist()

            def nearest_is_last() -> bool:
                found_objects = collection.query.near_vector(near_vector=last, limit=1).objects
                return bool(found_objects) and found_objects[0].uuid.int == len(rows.ids) - 1

            found(nearest_is_last)
            seconds = time.perf_counter() - began
        return {"searchable": seconds, "indexed": seconds}

    def effort(self, effort: int) -> bool:
        """Ef belongs to the collection."""
        with self._direct() as client:
            client.collections.get(COLLECTION).config.update(
                vector_config=Reconfigure.Vectors.update(
                    vector_index_config=Reconfigure.VectorIndex.hnsw(ef=effort)
                )
            )
        return False

    def requests(self, queries: NDArray[np.float32]) -> list[bytes]:
        """Record the client."""
        with recorder(self._asked.address, METHOD) as (port, requests), self._client(port) as client:
            collection = client.collections.get(COLLECTION)
            wanted = MetadataQuery(distance=True)
            for query in queries:
                collection.query.near_vector(near_vector=query.tolist(), limit=K, return_metadata=wanted)
        return requests

    def answer(self, response: bytes) -> Answer:
        """Read a SearchReply."""
        hits = search_get_pb2.SearchReply.FromString(response).results
        return Answer(
            [1 - hit.metadata.distance for hit in hits],
            all(_whole(hit.properties.non_ref_props.fields) for hit in hits),
        )


def _create(client: weaviate.WeaviateClient) -> Any:
    hnsw = Configure.VectorIndex.hnsw(
        distance_metric=VectorDistances.COSINE,
        max_connections=M,
        ef_construction=EF_CONSTRUCTION,
        ef=EF,
        quantizer=Configure.VectorIndex.Quantizer.none(),
    )
    return client.collections.create(
        COLLECTION,
        vector_config=Configure.Vectors.self_provided(vector_index_config=hnsw),
        properties=[Property(name=name, data_type=kind) for name, kind in KINDS.items()],
    )


def _whole(fields: Any) -> bool:
    values = {name: fields[name].text_value for name in ("lang", "source")}
    return whole(fields["text"].text_value, {"number": fields["number"].int_value, **values})

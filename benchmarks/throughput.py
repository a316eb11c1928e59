"""What gRPC, Python, durability and rows add to the bare index: ratios taken in one run.

The index alone (hnswlib, same parameters, same vectors, same queries) and the service
take turns; the median of the rounds counts. Load and server share the machine.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass, field

import grpc
import hnswlib
import numpy as np
from google.protobuf import struct_pb2
from numpy.typing import NDArray

from benchmarks import raw_frames
from benchmarks.child_server import Addresses, child_server
from benchmarks.load import in_another_process, stream
from benchmarks.vectors import Rows, Vectors, clustered, recall
from ragapi.v1 import (
    collection_service_pb2,
    collection_service_pb2_grpc,
    ingestion_service_pb2,
    retrieval_service_pb2,
    types_pb2,
)

M, EF_CONSTRUCTION, EF, K = 16, 100, 100, 10
ROUNDS = 7
MESSAGE_DOCUMENTS = 200
IN_FLIGHT = 32
BATCH = 64
BATCHES_IN_FLIGHT = 4
"""So many that both processors always have something to do, as they have for `knn_query` on all threads."""
SERVICE = "/ragapi.v1.RetrievalService/"
PING = "/ragapi.v1.HealthService/Ping"
EMPTY = [b""] * 3000
INGEST = "/ragapi.v1.IngestionService/StreamIngestDocuments"


@dataclass(slots=True)
class Rates:
    """Rows or queries a second, one entry a round."""

    add_items: list[float] = field(default_factory=list)
    ingest: list[float] = field(default_factory=list)
    knn_one_thread: list[float] = field(default_factory=list)
    knn_all_threads: list[float] = field(default_factory=list)
    query: list[float] = field(default_factory=list)
    batch_query: list[float] = field(default_factory=list)
    batch_query_with_text: list[float] = field(default_factory=list)
    empty_call: list[float] = field(default_factory=list)
    alone: dict[str, list[float]] = field(default_factory=lambda: {"query": [], "empty": [], "knn": []})
    """Median seconds of a call, of an empty call and of knn_query, one at a time."""
    recalls: dict[str, float] = field(default_factory=dict)


def measure(count: int = 100_000, ingest_rounds: int = 1) -> Rates:
    """Measure everything on `count` vectors."""
    vectors = clustered(count)
    rates = Rates()
    index = None
    messages = ingest_messages(vectors.base)
    for number in range(ingest_rounds):
        index = _add_items(vectors, rates)
        with child_server() as server:
            fill(server, messages, rates)
            if number == ingest_rounds - 1:
                _queries(server, index, vectors, rates)
    return rates


def ingest_messages(base: Rows) -> list[bytes]:
    """Serialise one document for each row: 270 characters of text, metadata, a ready vector."""
    text = "lorem ipsum dolor sit amet " * 10
    messages = []
    for start in range(0, len(base), MESSAGE_DOCUMENTS):
        items = []
        for number in range(start, min(start + MESSAGE_DOCUMENTS, len(base))):
            metadata = struct_pb2.Struct()
            metadata.update({"number": number, "lang": "en", "source": f"file-{number % 100}.txt"})
            chunk = types_pb2.Chunk(
                text=f"{number} {text}"[:270], vector=types_pb2.Vector(packed=base[number].tobytes())
            )
            document = types_pb2.Document(doc_id=f"doc-{number}", metadata=metadata, chunks=[chunk])
            items.append(ingestion_service_pb2.IngestItem(document=document))
        request = ingestion_service_pb2.StreamIngestDocumentsRequest(collection="bench", items=items)
        messages.append(request.SerializeToString())
    return messages


def _add_items(vectors: Vectors, rates: Rates) -> hnswlib.Index:
    index = hnswlib.Index(space="cosine", dim=vectors.base.shape[1])
    index.init_index(max_elements=len(vectors.base), M=M, ef_construction=EF_CONSTRUCTION)
    began = time.perf_counter()
    index.add_items(vectors.base, num_threads=os.cpu_count())
    rates.add_items.append(len(vectors.base) / (time.perf_counter() - began))
    index.set_ef(EF)
    return index


def fill(server: Addresses, messages: list[bytes], rates: Rates) -> None:
    """Make the collection and ingest everything."""
    with grpc.insecure_channel(server.grpc) as channel:
        collection_service_pb2_grpc.CollectionServiceStub(channel).CreateCollection(
            collection_service_pb2.CreateCollectionRequest(
                collection=collection_service_pb2.Collection(name="bench", embedder="none", dimension=384)
            )
        )
    seconds, responses = in_another_process(stream, server.grpc, INGEST, messages)
    created = 0
    for response in responses:
        answer = ingestion_service_pb2.StreamIngestDocumentsResponse.FromString(response)
        created += sum(each.status == ingestion_service_pb2.INGEST_STATUS_CREATED for each in answer.results)
    rates.ingest.append(created / seconds)


def _request(query: Rows, **changes: object) -> retrieval_service_pb2.QueryRequest:
    return retrieval_service_pb2.QueryRequest(
        collection="bench",
        vector=types_pb2.Vector(packed=query.tobytes()),
        top_k=K,
        **changes,  # type: ignore[arg-type]  # fields of the message
    )


def _queries(server: Addresses, index: hnswlib.Index, vectors: Vectors, rates: Rates) -> None:
    settled(server)
    requests = Requests.of(vectors.queries)
    single = requests.single * 3
    batches = {"batch_query": requests.bare, "batch_query_with_text": requests.full}
    for _ in range(ROUNDS):
        _alone(server, index, vectors, requests, rates)
        distances = _bare(index, vectors, rates)
        seconds, _, responses = in_another_process(
            raw_frames.unary, server.grpc, SERVICE + "Query", single, IN_FLIGHT
        )
        rates.query.append(len(single) / seconds)
        _bare(index, vectors, rates)
        seconds, _, _ = in_another_process(raw_frames.unary, server.grpc, PING, EMPTY, IN_FLIGHT)
        rates.empty_call.append(len(EMPTY) / seconds)
        for name, sent in batches.items():
            seconds, _, _ = in_another_process(
                raw_frames.unary, server.grpc, SERVICE + "BatchQuery", sent, BATCHES_IN_FLIGHT
            )
            getattr(rates, name).append(len(sent) * BATCH / seconds)
            _bare(index, vectors, rates)
    rates.recalls["hnswlib"] = recall(1 - distances, vectors.truth)
    answers = [
        retrieval_service_pb2.QueryResponse.FromString(each) for each in responses[: len(vectors.queries)]
    ]
    scores = np.array([[hit.score for hit in answer.results] for answer in answers], dtype=np.float32)
    rates.recalls["service"] = recall(scores, vectors.truth)


def _bare(index: hnswlib.Index, vectors: Vectors, rates: Rates) -> NDArray[np.float32]:
    """Ask the index alone, in one thread and in all; return the distances, shape (queries, K).

    Several times a round: it takes a third of a second, and the speed of a shared machine changes meanwhile.
    """
    for threads, into in ((1, rates.knn_one_thread), (os.cpu_count(), rates.knn_all_threads)):
        began = time.perf_counter()
        _, distances = index.knn_query(vectors.queries, k=K, num_threads=threads)
        into.append(len(vectors.queries) / (time.perf_counter() - began))
    found: NDArray[np.float32] = distances
    return found


def settled(server: Addresses) -> None:
    """Wait until all that was written is in the graph."""
    while server.metric("rag_tail_chunks") > 0:
        time.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Requests:
    """The queries as bytes: alone, and in batches without text and metadata (`bare`) and with (`full`)."""

    single: list[bytes]
    bare: list[bytes]
    full: list[bytes]

    @classmethod
    def of(cls, queries: Rows) -> Requests:
        """Make the requests of `queries` (n, dimension)."""
        whole = [_request(query) for query in queries]
        omit = [
            retrieval_service_pb2.HIT_FIELD_TEXT,
            retrieval_service_pb2.HIT_FIELD_TITLE,
            retrieval_service_pb2.HIT_FIELD_METADATA,
        ]
        bare = [_request(query, omit=omit) for query in queries]
        return cls([each.SerializeToString() for each in whole], _batches(bare), _batches(whole))


def _batches(queries: list[retrieval_service_pb2.QueryRequest]) -> list[bytes]:
    return [
        retrieval_service_pb2.BatchQueryRequest(queries=queries[start : start + BATCH]).SerializeToString()
        for start in range(0, len(queries) - BATCH + 1, BATCH)
    ] * 5


def _alone(
    server: Addresses, index: hnswlib.Index, vectors: Vectors, requests: Requests, rates: Rates
) -> None:
    """One at a time: what a query costs beside an empty call and the search itself."""
    for name, method, sent in (("query", SERVICE + "Query", requests.single), ("empty", PING, EMPTY[:1000])):
        _, latencies, _ = in_another_process(raw_frames.unary, server.grpc, method, sent, 1)
        rates.alone[name].append(statistics.median(latencies))
    taken = []
    for query in vectors.queries:
        began = time.perf_counter()
        index.knn_query(query, k=K, num_threads=1)
        taken.append(time.perf_counter() - began)
    rates.alone["knn"].append(statistics.median(taken))


def report(rates: Rates) -> dict[str, float]:
    """Return the ratios of the medians, rounded."""

    def ratio(ours: list[float], bare: list[float]) -> float:
        return round(statistics.median(ours) / statistics.median(bare), 3)

    return {
        "ingest / add_items on all threads": ratio(rates.ingest, rates.add_items),
        "Query, 32 in flight / knn_query on one thread": ratio(rates.query, rates.knn_one_thread),
        "BatchQuery of 64 without text / knn_query on all threads": ratio(
            rates.batch_query, rates.knn_all_threads
        ),
        "BatchQuery of 64 with text and metadata / knn_query on all threads": ratio(
            rates.batch_query_with_text, rates.knn_all_threads
        ),
        "Query / empty call, both 32 in flight": ratio(rates.query, rates.empty_call),
        "time of Query / (of an empty call + 3.5 of knn_query), one at a time": round(_alone_ratio(rates), 3),
    }


def _alone_ratio(rates: Rates) -> float:
    query, empty, knn = (statistics.median(rates.alone[name]) for name in ("query", "empty", "knn"))
    return query / (empty + 3.5 * knn)

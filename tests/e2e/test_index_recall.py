"""How much the index finds of what exact search would: real text vectors, through the service.

Truth is exact search over what is live, counted by score: a hit that is as near as the
tenth of the truth is one, whichever of several equals it is.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from rag_grpc.app import RunningServer, running_server
from rag_grpc.settings import Settings
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.collection_service_pb2 import Collection, CreateCollectionRequest
from ragapi.v1.types_pb2 import Chunk, Document, Vector
from tests.e2e import shared_data
from tests.e2e.bare_client import Stubs

WHERE = "ann"
TOP_K = 10
AT_LEAST = 0.97
MESSAGE = 256
"""Documents of a message, and queries of a batch."""
MOST_ROUNDS = 20
"""Rounds of all queries within which the writer has stored two messages."""
ROUNDING = 1e-5
"""Scores are float32 sums of 128 products, added up in different orders."""

Rows = NDArray[np.float32]


@dataclass
class Vectors:
    """What is stored: a document "n" for each living row n."""

    base: Rows
    queries: Rows
    living: NDArray[np.bool_]

    def thresholds(self) -> Rows:
        """The score of each query's tenth neighbour among the living, shape (queries,)."""
        live = self.base[self.living]
        parts = [
            np.partition(self.queries[start : start + MESSAGE] @ live.T, -TOP_K, axis=1)[:, -TOP_K]
            for start in range(0, len(self.queries), MESSAGE)
        ]
        return np.concatenate(parts)


def load() -> Vectors:
    folder = shared_data.folder("ann_lsa128")
    stored = [shared_data.vectors(folder / f"{name}.npy.gz") for name in ("base", "queries")]
    base, queries = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in stored)
    return Vectors(base, queries[::2], np.ones(len(base), dtype=np.bool_))


def item(row: int, vector: Rows, version: int) -> ingestion.IngestItem:
    chunk = Chunk(text=f"row {row}, version {version}", vector=Vector(packed=vector.tobytes()))
    return ingestion.IngestItem(document=Document(doc_id=str(row), chunks=[chunk]))


async def write(stubs: Stubs, base: Rows, batches: Iterable[NDArray[np.int64]], version: int = 1) -> int:
    """Store rows by one stream; gives how many were stored."""
    stream = stubs.ingestion.StreamIngestDocuments()
    messages = [
        ingestion.StreamIngestDocumentsRequest(
            collection=WHERE, items=[item(int(row), base[row], version) for row in batch]
        )
        for batch in batches
    ]

    async def send() -> None:
        for message in messages:
            await stream.write(message)
        await stream.done_writing()

    sending = asyncio.create_task(send())
    results = [result async for response in stream for result in response.results]
    await sending
    assert not [result for result in results if result.HasField("problem")]
    return len(results)


async def settled(server: RunningServer) -> None:
    """Return when all that was written is in the graph, so that it is the graph that is measured."""
    while True:
        (stats,) = (each for each in server.store.stats().collections if each.name == WHERE)
        if not stats.tail and stats.graph_dead * 4 <= stats.graph:  # else it is made anew
            return
        await asyncio.sleep(0.05)  # the index works by itself, and tells nobody


async def recall(stubs: Stubs, vectors: Vectors) -> tuple[float, set[int]]:
    """Ask every query; gives recall@10 and the strategies that answered."""
    thresholds = vectors.thresholds() - ROUNDING
    found, strategies = 0, set()
    for start in range(0, len(vectors.queries), MESSAGE):
        batch = vectors.queries[start : start + MESSAGE]
        queries = [
            retrieval.QueryRequest(
                collection=WHERE,
                vector=Vector(packed=row.tobytes()),
                top_k=TOP_K,
                omit=[retrieval.HIT_FIELD_TEXT, retrieval.HIT_FIELD_METADATA],
            )
            for row in batch
        ]
        answer = await stubs.retrieval.BatchQuery(retrieval.BatchQueryRequest(queries=queries))
        for place, result in enumerate(answer.results):
            assert result.HasField("response"), result.problem
            strategies.add(result.response.plan.strategy)
            found += check_hits(result.response.results, vectors, start + place, thresholds[start + place])
    return found / (TOP_K * len(vectors.queries)), strategies


def check_hits(hits: Any, vectors: Vectors, query: int, threshold: float) -> int:
    """Count the hits that are near enough; each must be live, once there, and scored truly."""
    documents = [int(hit.doc_id) for hit in hits]
    assert len(set(documents)) == len(documents) == TOP_K
    assert vectors.living[documents].all()
    scores = vectors.base[documents] @ vectors.queries[query]
    assert np.allclose([hit.score for hit in hits], scores, atol=1e-4)
    return int(np.count_nonzero(scores >= threshold))


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[RunningServer, Stubs]]:
    async with running_server(settings) as server, grpc.aio.insecure_channel(server.grpc_address) as channel:
        yield server, Stubs(channel)


async def rewrite(stubs: Stubs, vectors: Vectors, stop: asyncio.Event, written: list[int]) -> None:
    """Replace documents by others with the same vectors, until told to stop: truth stays what it is."""
    generator = np.random.default_rng(0)
    for version in itertools.count(2):
        rows = generator.choice(np.flatnonzero(vectors.living), MESSAGE, replace=False)
        written.append(await write(stubs, vectors.base, [rows], version))
        if stop.is_set():
            return


@pytest.mark.slow
async def test_recall_at_ten_fresh_while_written_with_a_third_deleted_and_restarted(
    settings: Settings, store_name: str
) -> None:
    vectors = load()
    everything = np.arange(len(vectors.base))
    measured: dict[str, float] = {}
    ann = retrieval.SEARCH_STRATEGY_ANN if store_name == "embedded" else retrieval.SEARCH_STRATEGY_EXACT

    async def measure(when: str, stubs: Stubs) -> None:
        measured[when], strategies = await recall(stubs, vectors)
        assert ann in strategies, when

    async with serving(settings) as (server, stubs):
        collection = Collection(name=WHERE, embedder="none", dimension=vectors.base.shape[1])
        await stubs.collections.CreateCollection(CreateCollectionRequest(collection=collection))
        batches = np.array_split(everything, len(everything) // MESSAGE)
        assert await write(stubs, vectors.base, batches) == len(vectors.base)
        await settled(server)
        await measure("fresh", stubs)

        stop = asyncio.Event()
        written: list[int] = []
        writer = asyncio.create_task(rewrite(stubs, vectors, stop, written))
        worst = 1.0
        for _ in range(MOST_ROUNDS):
            await measure("while written", stubs)
            worst = min(worst, measured["while written"])
            if len(written) > 1 or writer.done():
                break
        stop.set()
        await writer
        assert len(written) > 1  # it went on while queries were answered, by the client in this process, too
        measured["while written"] = worst

        dead = np.random.default_rng(1).choice(everything, len(everything) // 3, replace=False)
        vectors.living[dead] = False
        documents = [ingestion.DocumentRef(doc_id=str(row)) for row in dead]
        deleted = await stubs.ingestion.DeleteDocuments(
            ingestion.DeleteDocumentsRequest(collection=WHERE, documents=documents)
        )
        assert deleted.deleted_count == len(dead)
        await measure("at once after deleting a third", stubs)
        await settled(server)
        await measure("a third deleted", stubs)

    if store_name == "embedded":  # the other one forgets, as it says
        async with serving(settings) as (server, stubs):
            await measure("restarted", stubs)
            await settled(server)
            await measure("restarted and settled", stubs)
    print(f"{store_name}: {measured}, {sum(written)} rewritten")  # noqa: T201 # the figures, for pytest -s
    assert min(measured.values()) >= AT_LEAST, measured

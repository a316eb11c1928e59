"""How much a search with a filter finds of what exact search would, from 0.1 to 90 % matching.

Real text vectors, through the service, with a graph. The filter is independent of
the query (a random number below a bound), or goes against it: what passes is what
lies farthest from the query.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_client import AsyncRagClient, Chunk, Document, Field
from rag_client.queries import QueryFields, QueryResult
from rag_grpc.app import RunningServer, running_server
from rag_grpc.settings import Settings
from tests.e2e import shared_data

TOP_K = 10
AT_LEAST = 0.97
SHARES = (0.001, 0.01, 0.05, 0.2, 0.5, 0.9)
ROUNDING = 1e-5
NUMBER, FAR = Field("number"), Field("far")

Rows = NDArray[np.float32]


def load() -> tuple[Rows, Rows]:
    folder = shared_data.folder("ann_lsa128")
    stored = [shared_data.vectors(folder / f"{name}.npy.gz") for name in ("base", "queries")]
    base, queries = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in stored)
    return base, queries


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[tuple[RunningServer, AsyncRagClient]]:
    settings = Settings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        data_dir=path,
        store="embedded",
        drain_pause=0.0,
        disk_reserve_bytes=0,
    )
    async with running_server(settings) as server, AsyncRagClient(server.grpc_address) as client:
        yield server, client


async def store(
    server: RunningServer, client: AsyncRagClient, base: Rows, metadata: list[dict[str, int]]
) -> None:
    """Store a document a row, and wait until all of them are in the graph."""
    await client.create_collection("rows", embedder="none", dimension=base.shape[1])
    documents = (
        Document(str(row), metadata=metadata[row], chunks=[Chunk("row", vector=vector)])
        for row, vector in enumerate(base)
    )
    async for result in client.ingest_stream(documents, collection="rows"):
        assert result.error is None
    while True:
        if not sum(each.tail for each in server.store.stats().collections):
            return
        await asyncio.sleep(0.05)  # the index works by itself, and tells nobody


def recall(results: list[QueryResult], base: Rows, queries: Rows, passing: NDArray[np.bool_]) -> float:
    found = 0
    wanted = min(TOP_K, int(passing.sum()))
    for result, query in zip(results, queries, strict=True):
        rows = [int(hit.doc_id) for hit in result.hits]
        assert len(set(rows)) == len(rows) == wanted
        assert passing[rows].all()
        assert result.plan.matching_chunks == passing.sum()
        scores = base[passing] @ query
        threshold = np.partition(scores, -wanted)[-wanted] - ROUNDING
        found += int(np.count_nonzero(base[rows] @ query >= threshold))
    return found / (wanted * len(queries))


async def ask(client: AsyncRagClient, queries: Rows, condition: str) -> list[QueryResult]:
    asked: list[QueryFields] = [
        {"collection": "rows", "vector": row, "top_k": TOP_K, "filter": condition, "omit": ["text"]}
        for row in queries
    ]
    results = []
    for start in range(0, len(asked), 100):
        for each in await client.batch_query(asked[start : start + 100]):
            assert isinstance(each, QueryResult), each
            results.append(each)
    return results


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_recall_at_ten_with_a_filter(tmp_path: Path) -> None:
    base, queries = load()
    count = len(base)
    numbers = np.random.default_rng(1).permutation(count)
    centre = queries[0]
    far = np.empty(count, np.int64)
    far[np.argsort(base @ centre)] = np.arange(count)
    nearest = queries[np.argsort(-(queries @ centre))[:50]]
    measured: dict[str, float] = {}
    strategies: dict[str, set[str]] = {}
    metadata = [{"number": int(numbers[row]), "far": int(far[row])} for row in range(count)]
    async with serving(tmp_path) as (server, client):
        await store(server, client, base, metadata)
        for share in SHARES:
            bound = round(share * count)
            for what, values, field, asked in (
                ("beside", numbers, NUMBER, queries[:150]),
                ("against", far, FAR, nearest),
            ):
                results = await ask(client, asked, field < bound)
                measured[f"{what} {share}"] = recall(results, base, asked, values < bound)
                strategies[f"{what} {share}"] = {result.plan.strategy for result in results}
    print(measured, strategies)  # noqa: T201 # the figures, for pytest -s
    assert min(measured.values()) >= AT_LEAST, measured
    assert set.union(*strategies.values()) == {"ann", "exact", "ann_then_exact"}

"""A server in this process, its client, and what a ranking of it is worth."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import ir_measures
from ir_measures import R, nDCG

from benchmarks.retrieval_quality.data_sets import DataSet
from rag_client import AsyncRagClient
from rag_client.queries import QueryResult
from rag_grpc.app import running_server
from rag_grpc.settings import Settings

BATCH = 32
NDCG_10, RECALL_5, RECALL_100 = nDCG @ 10, R @ 5, R @ 100


@asynccontextmanager
async def service(folder: Path, embedders: Sequence[str]) -> AsyncIterator[AsyncRagClient]:
    """Serve a data folder with the defaults of a server."""
    settings = Settings(
        listen="127.0.0.1:0", http_listen="127.0.0.1:0", data_dir=folder, embedders=tuple(embedders)
    )
    async with running_server(settings) as server, AsyncRagClient(server.grpc_address) as client:
        yield client


async def ingest(client: AsyncRagClient, collection: str, data: DataSet, **spec: Any) -> None:
    """Make a collection of a data set."""
    await client.create_collection(collection, **spec)
    async for result in client.ingest_stream(data.documents, collection=collection):
        if result.error is not None:
            raise result.error


async def measured(
    client: AsyncRagClient, collection: str, data: DataSet, *, depth: int = 100, **options: Any
) -> dict[str, float]:
    """Ask all questions, and let ir-measures judge the rankings of documents."""
    run: dict[str, dict[str, float]] = {}
    ids = list(data.queries)
    for start in range(0, len(ids), BATCH):
        part = ids[start : start + BATCH]
        asked: list[Any] = [
            {
                "query": data.queries[each],
                "collection": collection,
                "top_k": depth,
                "max_hits_per_document": 1,
                "omit": ["text", "title", "metadata"],
                **options,
            }
            for each in part
        ]
        answers = await client.batch_query(asked)
        for query, answer in zip(part, answers, strict=True):
            if not isinstance(answer, QueryResult):
                raise answer
            # By rank, not score: ir-measures breaks ties by name.
            run[query] = {hit.doc_id: float(-place) for place, hit in enumerate(answer.hits)}
    values = ir_measures.calc_aggregate([NDCG_10, RECALL_5, RECALL_100], data.judgements, run)
    return {str(measure): value for measure, value in values.items()}

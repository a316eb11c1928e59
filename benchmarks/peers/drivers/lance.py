"""LanceDB, which is a library: it runs in the driver's own process, and no wire lies between."""

from __future__ import annotations

import asyncio
import tempfile
import time
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import HnswFlat
from numpy.typing import NDArray

from benchmarks.peers.drivers.driver import DIMENSION, EF, EF_CONSTRUCTION, Answer, Asked, K, M
from benchmarks.peers.drivers.rows import Stored, slices, whole

COLUMNS = ["id", "text", "metadata", "_distance"]


class LanceDriver:
    """Drives LanceDB: one partition, so that it is one graph; no index of words or metadata."""

    batch = 20_000
    writers = 1

    def __init__(self, asked: Asked) -> None:
        # A new one each time: there is no server to take it along.
        self._folder = tempfile.mkdtemp(prefix="lance-", dir=asked.data)
        self._loop = asyncio.new_event_loop()
        self._effort = EF
        self._table: Any = None

    def ingest(self, rows: Stored, batch: int, writers: int) -> dict[str, float]:
        """Add, which makes rows searchable by comparing all, then make the graph."""
        del writers
        return self._loop.run_until_complete(self._ingest(rows, batch))

    async def _ingest(self, rows: Stored, batch: int) -> dict[str, float]:
        database = await lancedb.connect_async(self._folder)
        began = time.perf_counter()
        self._table = await database.create_table("bench", schema=_columns(rows, slice(0, 1)).schema)
        for part in slices(len(rows.ids), batch):
            await self._table.add(_columns(rows, part))
        searchable = time.perf_counter()
        graph = HnswFlat(distance_type="cosine", m=M, ef_construction=EF_CONSTRUCTION, num_partitions=1)
        await self._table.create_index("vector", config=graph)
        return {"searchable": searchable - began, "indexed": time.perf_counter() - began}

    def effort(self, effort: int) -> bool:
        """Ef goes with each query."""
        self._effort = effort
        return False

    def run(self, queries: NDArray[np.float32], in_flight: int) -> tuple[float, list[float], list[Answer]]:
        """Ask from coroutines; LanceDB's own threads do the work."""
        return self._loop.run_until_complete(self._run(queries, in_flight))

    async def _run(
        self, queries: NDArray[np.float32], in_flight: int
    ) -> tuple[float, list[float], list[Answer]]:
        latencies = [0.0] * len(queries)
        tables: list[Any] = [None] * len(queries)
        places = iter(range(len(queries)))

        async def work() -> None:
            for place in places:
                began = time.perf_counter()
                query = self._table.vector_search(queries[place]).distance_type("cosine").nprobes(1)
                tables[place] = await query.ef(self._effort).limit(K).select(COLUMNS).to_arrow()
                latencies[place] = time.perf_counter() - began

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        seconds = time.perf_counter() - began
        return seconds, latencies, [_answer(table) for table in tables]


def _columns(rows: Stored, part: slice) -> Any:
    vectors = pa.array(rows.vectors[part].ravel())
    return pa.table(
        {
            "id": rows.ids[part],
            "vector": pa.FixedSizeListArray.from_arrays(vectors, DIMENSION),
            "text": rows.texts[part],
            "metadata": pa.array(rows.metadata[part]),
        }
    )


def _answer(table: Any) -> Answer:
    rows = table.to_pylist()
    return Answer(
        [1 - row["_distance"] for row in rows], all(whole(row["text"], row["metadata"]) for row in rows)
    )

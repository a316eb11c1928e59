"""A document as something to look for: the mean of its chunks' vectors.

Rocchio's idea (1971): what many vectors have in common is where their mean points.
Under cosine only directions count, so each chunk's is taken at length one; else a long
chunk vector would outvote the others though no search would see it longer.
"""

from __future__ import annotations

import asyncio

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.errors import NotReady
from rag_grpc.core.models import Collection, Metric, Vector
from rag_grpc.core.ports import Store

CHUNKS_A_READ = 1000
_TRIES = 3


async def mean_vector(store: Store, collection: Collection, doc_id: str, *, max_bytes: int) -> Vector:
    """Return the mean of a document's vectors, as they are compared: shape (dimension,), never zero.

    Raises CollectionNotFound, DocumentNotFound, and NotReady where the document changes all the while.
    """
    for _ in range(_TRIES):
        rows = await _vectors(store, collection, doc_id, max_bytes)
        if rows is not None:
            # Ten thousand chunks take a second.
            return await asyncio.to_thread(mean_of, rows, collection.metric)
    raise NotReady(f"document {doc_id!r} changes faster than it can be read")


async def _vectors(
    store: Store, collection: Collection, doc_id: str, max_bytes: int
) -> NDArray[np.float32] | None:
    """Read all vectors of one revision; None where it changed between two pages."""
    rows: list[Vector] = []
    revision = None
    while True:
        page = await store.list_chunks(
            collection,
            doc_id,
            first=len(rows),
            limit=CHUNKS_A_READ,
            include_vectors=True,
            max_bytes=max_bytes,
        )
        if revision is not None and revision != page.revision:
            return None
        revision = page.revision
        rows += [chunk.vector for chunk in page.chunks if chunk.vector is not None]
        if any(len(row) != len(rows[0]) for row in rows):
            # Another embedder took over between two pages. One of the same length is found out by the search.
            return None
        if not page.more or not page.chunks:
            return np.stack(rows)


def mean_of(rows: NDArray[np.float32], metric: Metric) -> Vector:
    """Return the mean of rows of shape (n, dimension): shape (dimension,), float32.

    Under cosine, directions that cancel each other out leave nothing to look for; then the first row stands
    for all.
    """
    wide = rows.astype(np.float64)
    if metric is Metric.COSINE:
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    mean = wide.mean(axis=0)
    if metric is Metric.COSINE and float(np.linalg.norm(mean)) < 1e-6:  # noqa: PLR2004 # float32's own noise
        mean = wide[0]
    return np.ascontiguousarray(mean, dtype=np.float32)

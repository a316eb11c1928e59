"""A document as something to look for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest

from rag_grpc.core.document_vectors import mean_of, mean_vector
from rag_grpc.core.errors import DocumentNotFound, NotReady
from rag_grpc.core.models import Collection, Metric
from rag_grpc.core.ports import ChunkPage
from rag_grpc.stores.memory import MemoryStore
from tests.contracts.fakes import JsonCodec, prepared, put, spec


class RestlessStore(MemoryStore):
    """Gives one chunk a page, and puts the document anew between two pages while `changes` last."""

    def __init__(self) -> None:
        super().__init__(codec=JsonCodec())
        self.changes = 0

    async def list_chunks(self, collection: Collection, doc_id: str, **options: Any) -> ChunkPage:
        if options["first"] and self.changes:
            self.changes -= 1
            await put(self, collection, prepared(doc_id, [[0, 0, 0, 1 + self.changes]] * 2))
        return await super().list_chunks(collection, doc_id, **{**options, "max_bytes": 1})


@pytest.fixture
async def store() -> AsyncIterator[RestlessStore]:
    store = RestlessStore()
    await store.open()
    yield store
    await store.close()


async def test_it_is_the_mean_over_all_pages(store: RestlessStore) -> None:
    things = await store.create_collection(spec(metric=Metric.DOT), "")
    await put(store, things, prepared("d", [[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 3, 6]]))
    vector = await mean_vector(store, things, "d", max_bytes=1)
    assert vector.tolist() == pytest.approx([1 / 3, 2 / 3, 1, 2])
    with pytest.raises(DocumentNotFound):
        await mean_vector(store, things, "missing", max_bytes=1)


async def test_it_is_of_one_revision(store: RestlessStore) -> None:
    things = await store.create_collection(spec(metric=Metric.DOT), "")
    await put(store, things, prepared("d", [[1, 0, 0, 0]] * 2))
    store.changes = 1
    assert (await mean_vector(store, things, "d", max_bytes=1)).tolist() == [0, 0, 0, 1]
    store.changes = 100
    with pytest.raises(NotReady):
        await mean_vector(store, things, "d", max_bytes=1)


@pytest.mark.parametrize(
    ("rows", "metric", "expected"),
    [
        ([[2, 0], [0, 4]], Metric.DOT, [1, 2]),
        ([[2, 0], [0, 4]], Metric.EUCLIDEAN, [1, 2]),
        ([[2, 0], [0, 4]], Metric.COSINE, [0.5, 0.5]),
        ([[2, 0], [-7, 0]], Metric.COSINE, [1, 0]),
        ([[1e-30, 0], [0, 1e-30]], Metric.COSINE, [0.5, 0.5]),
    ],
)
def test_under_cosine_directions_count_and_not_lengths(
    rows: Sequence[Sequence[float]], metric: Metric, expected: list[float]
) -> None:
    mean = mean_of(np.array(rows, np.float32), metric)
    assert mean.dtype == np.float32
    assert mean.tolist() == pytest.approx(expected)

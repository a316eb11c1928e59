"""What every store must say of its own index: how much of the truth it finds."""

from __future__ import annotations

import numpy as np
import pytest

from rag_grpc.core.errors import CollectionNotFound
from rag_grpc.core.models import Collection, DeleteRefs, DocumentRef, Metric
from rag_grpc.core.ports import Store
from tests.contracts.fakes import prepared, put
from tests.contracts.store_reads import random_collection

EVERYWHERE = [place / 40 for place in range(40)]


class IndexRecallContract:
    """`Store.index_recall`."""

    @pytest.mark.parametrize("metric", list(Metric))
    async def test_an_index_that_looks_at_all_misses_nothing(self, store: Store, metric: Metric) -> None:
        made, rows, _ = await random_collection(store, metric)
        shares = await store.index_recall(made, EVERYWHERE, top_k=10, ef=len(rows))
        assert shares == [1.0] * len(EVERYWHERE)

    @pytest.mark.parametrize("metric", list(Metric))
    async def test_shares_lie_between_0_and_1_and_are_the_same_again(
        self, store: Store, metric: Metric
    ) -> None:
        made, _, _ = await random_collection(store, metric)
        shares = await store.index_recall(made, EVERYWHERE, top_k=10, ef=0)
        assert len(shares) == len(EVERYWHERE)
        assert all(0 <= share <= 1 for share in shares)
        assert sum(shares) / len(shares) > 0.9
        assert await store.index_recall(made, EVERYWHERE, top_k=10, ef=0) == shares

    async def test_equal_chunks_are_hits_whichever_is_found(
        self, store: Store, collection: Collection
    ) -> None:
        for number in range(30):
            await put(store, collection, prepared(f"d{number}", np.array([1, 2, 3, number % 2])))
        shares = await store.index_recall(collection, EVERYWHERE, top_k=3, ef=0)
        assert shares == [1.0] * len(EVERYWHERE)

    async def test_more_neighbours_than_there_are(self, store: Store, collection: Collection) -> None:
        for number in range(6):
            await put(store, collection, prepared(f"d{number}", np.array([1, number, 0, 0])))
        assert await store.index_recall(collection, [0.0, 0.99], top_k=100, ef=0) == [1.0, 1.0]

    async def test_a_chunk_without_others_misses_none(self, store: Store, collection: Collection) -> None:
        await put(store, collection, prepared("one"))
        assert await store.index_recall(collection, [0.0, 0.5], top_k=10, ef=0) == [1.0, 1.0]

    async def test_nothing_has_no_shares(self, store: Store, collection: Collection) -> None:
        assert await store.index_recall(collection, [0.0, 0.5], top_k=10, ef=0) == []
        await put(store, collection, prepared("one"))
        await store.submit(DeleteRefs(collection, (DocumentRef("one"),)))
        assert await store.index_recall(collection, [0.0], top_k=10, ef=0) == []

    async def test_a_collection_that_is_gone_has_no_index(self, store: Store, collection: Collection) -> None:
        await store.delete_collection(collection)
        with pytest.raises(CollectionNotFound):
            await store.index_recall(collection, [0.0], top_k=10, ef=0)

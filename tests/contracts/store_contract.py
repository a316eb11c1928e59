"""What every Store must do: each "must" of `ports.Store` has a test here.

An adapter's test subclasses `StoreContract`, or `DurableStoreContract` where it keeps
what it is given, and supplies `make_store`:

    class TestMemoryStore(StoreContract):
        def make_store(self, path: Path) -> Store:
            return MemoryStore(codec=JsonCodec())

`make_store` builds a store over the folder `path` and does not open it. A durable one
is built over the same folder again, after it was closed, and must have everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from rag_grpc.core.models import (
    Collection,
    DeleteRefs,
    DocumentRef,
    IngestStatus,
    Metric,
    PatchMetadata,
    PatchOutcome,
    PutDocument,
)
from rag_grpc.core.ports import Store
from rag_grpc.core.searches import HitParts
from tests.contracts.fakes import find, found_ids, prepared, put, spec, without_vectors
from tests.contracts.store_filters import FilterContract
from tests.contracts.store_index_recall import IndexRecallContract
from tests.contracts.store_lexical import DurableLexicalContract, LexicalContract
from tests.contracts.store_model import check_any_history
from tests.contracts.store_quality import DurableQualityContract, QualityContract
from tests.contracts.store_reads import (
    ConsistencyContract,
    ReadContract,
    SearchContract,
    page_of_chunks,
    page_of_documents,
    random_collection,
)
from tests.contracts.store_shadow import DurableShadowContract, ShadowContract
from tests.contracts.store_state import CollectionContract, StateContract
from tests.contracts.store_writes import DeleteContract, OrderContract, PatchContract, PutContract


class StoreContract(
    PutContract,
    OrderContract,
    PatchContract,
    DeleteContract,
    ReadContract,
    SearchContract,
    FilterContract,
    IndexRecallContract,
    LexicalContract,
    ConsistencyContract,
    CollectionContract,
    ShadowContract,
    QualityContract,
    StateContract,
):
    """What every Store must do."""

    durable: ClassVar[bool] = False
    model_examples: ClassVar[int] = 60
    model_steps: ClassVar[int] = 30

    def make_store(self, path: Path) -> Store:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = self.make_store(tmp_path)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def collection(self, store: Store) -> Collection:
        """A collection "things": four dimensions, cosine, no embedder."""
        return await store.create_collection(spec(), "")

    def test_any_history_is_the_model_s(self) -> None:
        check_any_history(
            self.make_store, durable=self.durable, examples=self.model_examples, steps=self.model_steps
        )


class DurableStoreContract(
    StoreContract, DurableShadowContract, DurableLexicalContract, DurableQualityContract
):
    """What a Store must do that keeps what it is given."""

    durable = True

    async def reopen(self, store: Store, path: Path) -> Store:
        """Close the store and open another one over the same folder."""
        await store.close()
        again = self.make_store(path)
        await again.open()
        return again

    async def test_everything_is_there_after_a_restart(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        await store.open()
        made = await store.create_collection(spec(metric=Metric.DOT, language="de"), "print/1")
        await put(store, made, prepared("a", [[1, 2, 3, 4], [0, 0, 0, 1]], text="text", title="T"))
        await put(store, made, prepared("b", metadata={"n": 1.0}))
        await put(store, made, prepared("c"))
        await store.submit(PatchMetadata(made, "b", {"m": True}))
        await store.submit(DeleteRefs(made, (DocumentRef("c"),)))
        before = await self.all_of(store, made)
        store = await self.reopen(store, tmp_path)
        try:
            assert store.collections() == [made]
            assert await self.all_of(store, made) == before
            assert await found_ids(store, made) == ["a", "b"]
            (hit,) = (await find(store, made, [0, 0, 1, 0], candidates=1, parts=HitParts(vectors=True))).hits
            assert (hit.doc_id, hit.score, hit.chunk.text) == ("a", 3.0, "a, part 0")
            assert hit.chunk.vector is not None
            np.testing.assert_array_equal(hit.chunk.vector, [1, 2, 3, 4])
            again = await put(
                store, made, prepared("a", [[1, 2, 3, 4], [0, 0, 0, 1]], text="text", title="T")
            )
            assert again.status is IngestStatus.UNCHANGED
            described = without_vectors(prepared("b", metadata={"other": 1.0}))
            assert (await put(store, made, described)).status is IngestStatus.REPLACED
        finally:
            await store.close()

    async def all_of(self, store: Store, collection: Collection) -> object:
        documents = await page_of_documents(store, collection)
        chunks = [
            (page.revision, [(each.ordinal, each.text, each.start, each.headings) for each in page.chunks])
            for page in [await page_of_chunks(store, collection, each.doc_id) for each in documents.documents]
        ]
        return (
            documents,
            chunks,
            store.counts(collection),
            sorted(map(str, await store.matches(collection, None))),
        )

    async def test_no_revision_and_no_id_is_used_again_after_a_restart(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        await store.open()
        revisions: list[int] = []
        ids: list[int] = []
        for _ in range(3):
            made = await store.create_collection(spec(), "")
            ids.append(made.id)
            for _ in range(2):
                revisions.append((await put(store, made, prepared("a"))).revision)
                await store.submit(DeleteRefs(made, (DocumentRef("a"),)))
                store = await self.reopen(store, tmp_path)
            await store.delete_collection(made)
            store = await self.reopen(store, tmp_path)
        await store.close()
        assert len(set(ids)) == 3
        for begin in range(0, 6, 2):
            assert revisions[begin] < revisions[begin + 1]

    @pytest.mark.parametrize("metric", list(Metric))
    async def test_searches_answer_alike_before_and_after_a_restart(
        self, tmp_path: Path, metric: Metric
    ) -> None:
        store = self.make_store(tmp_path)
        await store.open()
        made, _, _ = await random_collection(store, metric)
        queries = np.random.default_rng(11).normal(size=(10, 16)).astype(np.float32)

        async def answers() -> list[list[tuple[str, int]]]:
            results = await asyncio.gather(
                *(find(store, made, query, candidates=10, exact=True) for query in queries)
            )
            return [[(hit.doc_id, hit.chunk.ordinal) for hit in result.hits] for result in results]

        before = await answers()
        store = await self.reopen(store, tmp_path)
        try:
            assert await answers() == before
        finally:
            await store.close()

    async def test_writes_that_close_finished_are_there(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        await store.open()
        made = await store.create_collection(spec(), "")
        futures = [store.submit(PutDocument(made, prepared(f"d{place}"))) for place in range(200)]
        patched = store.submit(PatchMetadata(made, "d7", {"n": 1.0}))
        store = await self.reopen(store, tmp_path)
        try:
            await asyncio.gather(*futures)
            assert isinstance(await patched, PatchOutcome)
            assert store.counts(made).documents == 200
            assert len(await found_ids(store, made)) == 200
        finally:
            await store.close()

    async def test_restarting_twice_and_an_empty_store(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        await store.open()
        store = await self.reopen(store, tmp_path)
        assert store.collections() == []
        made = await store.create_collection(spec(), "")
        store = await self.reopen(store, tmp_path)
        assert await found_ids(store, made) == []
        await put(store, made, prepared("a"))
        store = await self.reopen(store, tmp_path)
        assert await found_ids(store, made) == ["a"]
        await store.delete_collection(made)
        store = await self.reopen(store, tmp_path)
        assert store.collections() == []
        await store.close()

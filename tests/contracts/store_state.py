"""What every store must do with its state and its collections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from rag_grpc.core.errors import CollectionExists, CollectionNotFound, NotReady
from rag_grpc.core.models import (
    Chunking,
    Collection,
    CollectionCounts,
    DeleteMatches,
    DeleteRefs,
    DocumentRef,
    Metric,
    PatchMetadata,
    PutDocument,
    PutOutcome,
    Write,
)
from rag_grpc.core.ports import Store
from rag_grpc.core.searches import DenseQuery, Search
from rag_grpc.core.store_state import StoreStatus
from tests.contracts.fakes import find, found_ids, prepared, put, select_all, spec

NOWHERE = Collection(
    id=1,
    uid="0" * 32,
    name="things",
    embedder="none",
    embedder_fingerprint="",
    dimension=4,
    metric=Metric.COSINE,
    chunking=Chunking(),
    language="",
    create_time=1,
)


def writes(collection: Collection) -> list[Write]:
    """One of each kind."""
    return [
        PutDocument(collection, prepared("a")),
        PatchMetadata(collection, "a", {"n": 1.0}),
        DeleteRefs(collection, (DocumentRef("a"),)),
        DeleteMatches(collection, ()),
    ]


def calls(store: Store, collection: Collection) -> dict[str, Callable[[], Awaitable[object]]]:
    """Every method that takes a collection, but `search`, which answers each search by itself."""

    async def counts() -> object:
        return store.counts(collection)

    everything: dict[str, Callable[[], Awaitable[object]]] = {
        "counts": counts,
        "delete_collection": lambda: store.delete_collection(collection),
        "embedding_key": lambda: store.embedding_key(collection, "a"),
        "documents": lambda: store.documents(collection, ["a"], include_text=True),
        "list_documents": lambda: store.list_documents(
            collection, after=None, limit=1, include_text=True, max_bytes=1000
        ),
        "list_chunks": lambda: store.list_chunks(
            collection, "a", first=0, limit=1, include_vectors=True, max_bytes=1000
        ),
        "count_documents": lambda: store.count_documents(collection, None),
        "matches": lambda: store.matches(collection, None),
        "word_counts": lambda: store.word_counts(collection, ["a"]),
        "index_recall": lambda: store.index_recall(collection, [0.0], top_k=1, ef=0),
    }
    for write in writes(collection):
        everything[type(write).__name__] = lambda write=write: store.submit(write)  # type: ignore[misc]  # a default binds the loop's variable
    return everything


def nearest(collection: Collection) -> Search:
    return Search(collection, 1, select_all, DenseQuery(np.array([1, 0, 0, 0], np.float32)))


class StateContract:
    """open, close, status, subscribe, stats."""

    def make_store(self, path: Path) -> Store:
        raise NotImplementedError

    async def check_not_ready(self, store: Store) -> None:
        status = store.status()
        assert not status.can_read
        assert not status.can_write
        assert status.read_reason
        assert status.write_reason
        assert store.stats() is not None

        async def collections() -> object:
            return store.collections()

        async def collection() -> object:
            return store.collection("things")

        everything = calls(store, NOWHERE) | {
            "collections": collections,
            "collection": collection,
            "create_collection": lambda: store.create_collection(spec(), ""),
            "search": lambda: store.search([nearest(NOWHERE)]),
        }
        for name, call in everything.items():
            with pytest.raises(NotReady):
                pytest.fail(f"{name} answered {await call()}")

    async def test_nothing_is_served_before_open(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        await self.check_not_ready(store)
        await store.open()
        try:
            assert store.status() == StoreStatus(can_read=True, can_write=True)
            assert store.collections() == []
        finally:
            await store.close()

    async def test_nothing_is_served_after_close(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        await store.open()
        await store.create_collection(spec(), "")
        await store.close()
        await self.check_not_ready(store)

    async def test_close_finishes_the_writes_that_were_submitted(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        await store.open()
        made = await store.create_collection(spec(), "")
        futures = [store.submit(PutDocument(made, prepared(f"d{place}"))) for place in range(50)]
        await store.close()
        outcomes = await asyncio.gather(*futures)
        assert all(isinstance(each, PutOutcome) for each in outcomes)

    async def test_listeners_hear_of_changes(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        heard: list[tuple[bool, bool]] = []
        loop = asyncio.get_running_loop()

        def listen(status: StoreStatus) -> None:
            assert asyncio.get_running_loop() is loop
            assert status == store.status()
            heard.append((status.can_read, status.can_write))

        store.subscribe(listen)
        await store.open()
        assert heard[-1] == (True, True)
        await store.close()
        assert heard[-1] == (False, False)

    async def test_it_has_a_name(self, store: Store) -> None:
        assert store.name

    async def test_stats_tell_how_much_is_there(self, store: Store, collection: Collection) -> None:
        await put(store, collection, prepared("a", np.eye(4, dtype=np.float32)))
        stats = await asyncio.to_thread(store.stats)
        (one,) = stats.collections
        assert (one.name, one.documents, one.chunks) == ("things", 1, 4)
        assert stats.writes_waiting == 0


class CollectionContract:
    """create_collection, collection, collections, counts, delete_collection."""

    async def test_a_collection_is_made_as_specified(self, store: Store) -> None:
        chunking = Chunking(max_characters=10, overlap_characters=2, max_tokens=3, without_context=True)
        made = await store.create_collection(
            spec("words", embedder="mock", dimension=7, metric=Metric.DOT, chunking=chunking, language="de"),
            "print/1",
        )
        assert (made.name, made.embedder, made.embedder_fingerprint) == ("words", "mock", "print/1")
        assert (made.dimension, made.metric, made.chunking, made.language) == (7, Metric.DOT, chunking, "de")
        assert made.uid
        assert made.create_time > 0
        assert store.collection("words") == made
        assert store.counts(made) == CollectionCounts(0, 0)

    async def test_a_name_is_taken_once(self, store: Store, collection: Collection) -> None:
        with pytest.raises(CollectionExists):
            await store.create_collection(spec(dimension=9), "")
        assert store.collection("things") == collection

    async def test_of_two_that_are_made_at_once_one_is_made(self, store: Store) -> None:
        made = await asyncio.gather(
            *(store.create_collection(spec(), "") for _ in range(4)), return_exceptions=True
        )
        assert sum(isinstance(each, Collection) for each in made) == 1
        assert sum(isinstance(each, CollectionExists) for each in made) == 3

    async def test_an_unknown_name_is_not_found(self, store: Store) -> None:
        with pytest.raises(CollectionNotFound):
            store.collection("things")

    async def test_collections_are_listed_by_name(self, store: Store) -> None:
        for name in ("b", "a_", "a", "a-b", "ab"):
            await store.create_collection(spec(name), "")
        assert [each.name for each in store.collections()] == ["a", "a-b", "a_", "ab", "b"]

    async def test_counts_follow_every_write(self, store: Store, collection: Collection) -> None:
        await put(store, collection, prepared("a", np.eye(4, dtype=np.float32)))
        assert store.counts(collection) == CollectionCounts(1, 4)
        await put(store, collection, prepared("a", np.eye(4, dtype=np.float32)[:3]))
        await put(store, collection, prepared("b"))
        assert store.counts(collection) == CollectionCounts(2, 4)
        await store.submit(DeleteRefs(collection, (DocumentRef("a"),)))
        assert store.counts(collection) == CollectionCounts(1, 1)

    async def test_collections_know_nothing_of_each_other(self, store: Store) -> None:
        made = [await store.create_collection(spec(f"c{n}", dimension=n + 1), "") for n in range(12)]
        for n, each in enumerate(made):
            await put(store, each, prepared("same", np.ones(n + 1), text=str(n)))
        await store.submit(DeleteRefs(made[3], (DocumentRef("same"),)))
        await store.delete_collection(made[4])
        for n, each in enumerate(made):
            if n in (3, 4):
                continue
            (document,) = await store.documents(each, ["same"], include_text=True)
            assert document is not None
            assert document.text == str(n)
            assert [hit.doc_id for hit in (await find(store, each, np.ones(n + 1))).hits] == ["same"]
        assert store.counts(made[3]) == CollectionCounts(0, 0)

    async def test_a_removed_collection_is_gone_for_every_method(
        self, store: Store, collection: Collection
    ) -> None:
        await put(store, collection, prepared("a"))
        await store.delete_collection(collection)
        with pytest.raises(CollectionNotFound):
            store.collection("things")
        assert store.collections() == []
        await check_removed(store, collection)

    async def test_a_collection_that_was_made_again_is_another(
        self, store: Store, collection: Collection
    ) -> None:
        await put(store, collection, prepared("a"))
        await store.delete_collection(collection)
        again = await store.create_collection(spec(dimension=2), "")
        assert again.id != collection.id
        assert again.uid != collection.uid
        assert store.collection("things") == again
        assert store.counts(again) == CollectionCounts(0, 0)
        await check_removed(store, collection)
        assert await store.documents(again, ["a"], include_text=True) == [None]
        await put(store, again, prepared("a", [1, 0]))
        assert [hit.doc_id for hit in (await find(store, again, [1, 1])).hits] == ["a"]

    async def test_writes_that_wait_fail_with_their_collection(
        self, store: Store, collection: Collection
    ) -> None:
        other = await store.create_collection(spec("other"), "")
        futures = [store.submit(PutDocument(collection, prepared(f"d{n}"))) for n in range(100)]
        elsewhere = [store.submit(PutDocument(other, prepared(f"d{n}"))) for n in range(100)]
        await store.delete_collection(collection)
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert all(isinstance(each, PutOutcome | CollectionNotFound) for each in outcomes)
        assert all(isinstance(each, PutOutcome) for each in await asyncio.gather(*elsewhere))
        again = await store.create_collection(spec(), "")
        assert store.counts(again) == CollectionCounts(0, 0)
        assert await found_ids(store, again) == []
        assert len(await found_ids(store, other)) == 100


async def check_removed(store: Store, collection: Collection) -> None:
    for name, call in calls(store, collection).items():
        with pytest.raises(CollectionNotFound):
            pytest.fail(f"{name} answered {await call()}")
    (result,) = await store.search([nearest(collection)])
    assert isinstance(result, CollectionNotFound)

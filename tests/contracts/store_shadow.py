"""What every store must do with the shadow of a collection: gather, survive, and take over in one step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_grpc.core.errors import CollectionNotFound, EmbedderChanged
from rag_grpc.core.models import (
    Collection,
    DeleteRefs,
    DocumentRef,
    IngestStatus,
    PatchMetadata,
    PutDocument,
)
from rag_grpc.core.ports import Store
from rag_grpc.core.searches import DenseQuery, HitParts, Search
from rag_grpc.core.shadow import Shadow, ShadowContent, StoredContent, Target
from tests.contracts.fakes import find, found_ids, matrix, prepared, put, select_all, spec, without_vectors

OTHER = Target("other", "other/1", 3)
THIRD = Target("third", "third/1", 5)
MUCH = 10**6


def vectors_of(content: StoredContent, target: Target) -> Any:
    """What the target makes of a content: its place in the alphabet, turned by the ordinal."""
    rows = [
        [1.0 + ordinal, float(ord(content.doc_id[0]) - 96), *[0.5] * (target.dimension - 2)]
        for ordinal in range(len(content.chunks))
    ]
    return matrix(rows)


def renewed(content: StoredContent, target: Target = OTHER) -> ShadowContent:
    """The content as the target has it, with hashes that can be told from the old ones."""
    print_ = target.fingerprint.encode()
    vectors = None if content.embedded else vectors_of(content, target)
    key = print_.ljust(16, b".") + content.embedding_key[:16]
    return ShadowContent(content.key, content.revision, key, content.packed_metadata.rjust(32, b"m"), vectors)


async def keep_all(shadow: Shadow, target: Target = OTHER, *, max_chunks: int = MUCH) -> list[str]:
    """Do what is to be done; return the ids of the documents, in the order in which they came."""
    done = []
    while page := await shadow.page(max_chunks=max_chunks, max_bytes=MUCH):
        done += [each.doc_id for each in page]
        await shadow.keep([renewed(each, target) for each in page])
    return done


async def reembed(store: Store, collection: Collection, target: Target = OTHER) -> Collection:
    async with store.shadow(collection, target) as shadow:
        await keep_all(shadow, target)
        after = await shadow.swap()
    assert after is not None
    return after


class ShadowContract:
    """Store.shadow and what is kept there."""

    def make_store(self, path: Path) -> Store:
        raise NotImplementedError

    @pytest.fixture
    async def lettered(self, store: Store) -> Collection:
        """A collection of an embedder "old" with the documents a, b and c; b has three chunks."""
        made = await store.create_collection(spec("lettered", embedder="old"), "old/1")
        await put(store, made, prepared("a", metadata={"n": 1.0}))
        await put(store, made, prepared("b", [[1, 2, 3, 4], [0, 0, 0, 1], [0, 1, 0, 0]], text="t", title="T"))
        await put(store, made, prepared("c", [[0, 1, 1, 0]]))
        return made

    async def test_the_new_side_takes_over_whole(self, store: Store, lettered: Collection) -> None:
        before = await store.documents(lettered, ["a", "b", "c"], include_text=True)
        after = await reembed(store, lettered)
        assert after == replace(lettered, embedder="other", embedder_fingerprint="other/1", dimension=3)
        assert store.collection("lettered") == after
        assert after in store.collections()
        assert store.counts(after).chunks == 5
        found = await find(store, after, [1, 1, 0.5], parts=HitParts(vectors=True))
        assert sorted((hit.doc_id, hit.chunk.ordinal) for hit in found.hits) == [
            ("a", 0),
            ("b", 0),
            ("b", 1),
            ("b", 2),
            ("c", 0),
        ]
        best = found.hits[0]
        assert best.doc_id == "a"
        assert best.score == pytest.approx(1)
        assert best.chunk.vector is not None
        np.testing.assert_array_equal(best.chunk.vector, [1, 1, 0.5])
        page = await store.list_chunks(after, "b", first=1, limit=2, include_vectors=True, max_bytes=MUCH)
        for place, chunk in enumerate(page.chunks, start=1):
            assert chunk.vector is not None
            np.testing.assert_array_equal(chunk.vector, [1 + place, 2, 0.5])
        now = await store.documents(after, ["a", "b", "c"], include_text=True)
        for old, new in zip(before, now, strict=True):
            assert old is not None
            assert new is not None
            assert new == replace(old, content_hash=new.content_hash)
            assert new.content_hash == old.packed_metadata.rjust(32, b"m")
            key = await store.embedding_key(after, new.doc_id)
            assert key is not None
            assert key.startswith(b"other/1.")

    async def test_pages_say_what_is_stored(self, store: Store, lettered: Collection) -> None:
        sent = prepared("b", [[1, 2, 3, 4], [0, 0, 0, 1], [0, 1, 0, 0]], text="t", title="T")
        async with store.shadow(lettered, OTHER) as shadow:
            assert await shadow.left() == 5
            page = await shadow.page(max_chunks=MUCH, max_bytes=MUCH)
            assert [each.doc_id for each in page] == ["a", "b", "c"]
            assert [each.key for each in page] == sorted(each.key for each in page)
            (document,) = await store.documents(lettered, ["b"], include_text=False)
            assert document is not None
            assert page[1] == StoredContent(
                key=page[1].key,
                revision=document.revision,
                doc_id="b",
                text="t",
                media_type="text/plain",
                title="T",
                packed_metadata=sent.packed_metadata,
                embedding_key=sent.embedding_key,
                chunks=sent.chunks,
                embedded=False,
            )

    async def test_pages_are_as_large_as_asked_but_not_empty(
        self, store: Store, lettered: Collection
    ) -> None:
        async with store.shadow(lettered, OTHER) as shadow:
            page = await shadow.page(max_chunks=4, max_bytes=MUCH)
            assert [each.doc_id for each in page] == ["a", "b"]
            await shadow.keep([renewed(each) for each in page[:1]])
            assert await shadow.left() == 4
            assert [each.doc_id for each in await shadow.page(max_chunks=1, max_bytes=MUCH)] == ["b"]
            await put(store, lettered, prepared("d", text="x" * 100))
            assert len(await shadow.page(max_chunks=MUCH, max_bytes=99)) == 2
            assert await keep_all(shadow, max_chunks=1) == ["b", "c", "d"]
            assert await shadow.left() == 0
            assert await shadow.swap() is not None

    async def test_nothing_is_seen_before_the_swap(self, store: Store, lettered: Collection) -> None:
        async with store.shadow(lettered, OTHER) as shadow:
            await keep_all(shadow)
            assert store.collection("lettered") == lettered
            assert await found_ids(store, lettered) == ["a", "b", "c"]
            again = await put(store, lettered, prepared("c", [[0, 1, 1, 0]]))
            assert again.status is IngestStatus.UNCHANGED
        assert store.collection("lettered") == lettered

    async def test_what_is_written_meanwhile_is_missing_until_it_is_kept(
        self, store: Store, lettered: Collection
    ) -> None:
        async with store.shadow(lettered, OTHER) as shadow:
            await keep_all(shadow)
            await put(store, lettered, prepared("a", [[0, 0, 1, 0], [0, 0, 1, 1]]))
            await put(store, lettered, prepared("d"))
            await store.submit(DeleteRefs(lettered, (DocumentRef("c"),)))
            assert await shadow.left() == 3
            assert await shadow.swap() is None
            assert store.collection("lettered") == lettered
            assert await keep_all(shadow) == ["a", "d"]
            after = await shadow.swap()
        assert after is not None
        assert await found_ids(store, after, [1, 1, 1]) == ["a", "b", "d"]
        assert store.counts(after).chunks == 6

    async def test_a_change_of_metadata_alone_wants_new_hashes_alone(
        self, store: Store, lettered: Collection
    ) -> None:
        async with store.shadow(lettered, OTHER) as shadow:
            await keep_all(shadow)
            await store.submit(PatchMetadata(lettered, "a", {"m": "x"}))
            described = without_vectors(prepared("c", [[0, 1, 1, 0]], text="", metadata={"described": True}))
            await put(store, lettered, described)
            assert await shadow.left() == 0
            assert await shadow.swap() is None
            page = await shadow.page(max_chunks=MUCH, max_bytes=MUCH)
            assert [(each.doc_id, each.embedded) for each in page] == [("a", True), ("c", True)]
            await shadow.keep([renewed(each) for each in page])
            after = await shadow.swap()
        assert after is not None
        (document,) = await store.documents(after, ["a"], include_text=False)
        assert document is not None
        assert document.content_hash == document.packed_metadata.rjust(32, b"m")
        assert await found_ids(store, after, [1, 1, 1]) == ["a", "b", "c"]

    async def test_contents_that_died_before_they_were_kept_are_passed_over(
        self, store: Store, lettered: Collection
    ) -> None:
        async with store.shadow(lettered, OTHER) as shadow:
            page = await shadow.page(max_chunks=MUCH, max_bytes=MUCH)
            await store.submit(DeleteRefs(lettered, (DocumentRef("a"),)))
            await put(store, lettered, prepared("b", [[4, 3, 2, 1]]))
            await shadow.keep([renewed(each) for each in page])
            assert await keep_all(shadow) == ["b"]
            after = await shadow.swap()
        assert after is not None
        assert await found_ids(store, after, [1, 1, 1]) == ["b", "c"]

    async def test_work_goes_on_where_it_was(self, store: Store, lettered: Collection) -> None:
        async with store.shadow(lettered, OTHER) as shadow:
            page = await shadow.page(max_chunks=MUCH, max_bytes=MUCH)
            await shadow.keep([renewed(each) for each in page[:2]])
        await store.submit(DeleteRefs(lettered, (DocumentRef("a"),)))
        async with store.shadow(lettered, OTHER) as shadow:
            assert await shadow.left() == 1
            assert await keep_all(shadow) == ["c"]
            after = await shadow.swap()
        assert after is not None
        assert await found_ids(store, after, [1, 1, 1]) == ["b", "c"]

    async def test_another_target_begins_anew(self, store: Store, lettered: Collection) -> None:
        async with store.shadow(lettered, OTHER) as shadow:
            await keep_all(shadow)
        async with store.shadow(lettered, THIRD) as shadow:
            assert await shadow.left() == 5
            page = await shadow.page(max_chunks=1, max_bytes=MUCH)
            await shadow.keep([renewed(each, THIRD) for each in page])
        async with store.shadow(lettered, OTHER) as shadow:
            assert await keep_all(shadow) == ["a", "b", "c"]
            after = await shadow.swap()
        assert after is not None
        assert after.dimension == 3
        assert await found_ids(store, after, [1, 1, 1]) == ["a", "b", "c"]

    async def test_what_was_kept_can_be_discarded(self, store: Store, lettered: Collection) -> None:
        await store.discard_shadow(lettered)
        async with store.shadow(lettered, OTHER) as shadow:
            await keep_all(shadow)
        await store.discard_shadow(lettered)
        async with store.shadow(lettered, OTHER) as shadow:
            assert await shadow.left() == 5

    async def test_a_collection_can_be_reembedded_again_and_again(
        self, store: Store, lettered: Collection
    ) -> None:
        now = lettered
        for target in (OTHER, THIRD, OTHER, THIRD):
            now = await reembed(store, now, target)
            assert now.dimension == target.dimension
            found = await find(store, now, [1.0] * target.dimension, parts=HitParts(vectors=True))
            assert len(found.hits) == 5
            for hit in found.hits:
                assert hit.chunk.vector is not None
                assert hit.chunk.vector[0] == 1 + hit.chunk.ordinal

    async def test_writes_go_on_after_the_swap(self, store: Store, lettered: Collection) -> None:
        after = await reembed(store, lettered)
        await put(store, after, prepared("e", [[3, 1, 0], [2, 1, 0]]))
        await put(store, after, prepared("a", [[9, 9, 0]]))
        patched = await store.submit(PatchMetadata(lettered, "b", {"still": True}))
        await store.submit(DeleteRefs(lettered, (DocumentRef("c"),)))
        assert patched is not None
        assert await found_ids(store, after, [1, 1, 1]) == ["a", "b", "e"]
        found = await find(store, after, [1, 1, 0], candidates=1, parts=HitParts(vectors=True))
        assert found.hits[0].doc_id == "a"

    async def test_an_empty_collection_changes_at_once(self, store: Store) -> None:
        made = await store.create_collection(spec("empty", embedder="old"), "old/1")
        async with store.shadow(made, OTHER) as shadow:
            assert await shadow.left() == 0
            assert await shadow.page(max_chunks=MUCH, max_bytes=MUCH) == ()
            after = await shadow.swap()
        assert after is not None
        await put(store, after, prepared("a", [[1, 2, 3]]))
        assert await found_ids(store, after, [1, 1, 1]) == ["a"]

    async def test_what_was_made_for_the_old_embedder_is_refused(
        self, store: Store, lettered: Collection
    ) -> None:
        await reembed(store, lettered)
        with pytest.raises(EmbedderChanged):
            await store.submit(PutDocument(lettered, prepared("d")))
        search = Search(lettered, 10, select_all, DenseQuery(np.ones(4, np.float32)))
        now = Search(store.collection("lettered"), 10, select_all, DenseQuery(np.ones(3, np.float32)))
        refused, answered = await store.search([search, now])
        assert isinstance(refused, EmbedderChanged)
        assert not isinstance(answered, Exception)
        assert len(answered.hits) == 5
        with pytest.raises(EmbedderChanged):
            async with store.shadow(lettered, THIRD):
                pass

    async def test_no_search_sees_both_sides(self, store: Store, lettered: Collection) -> None:
        for number in range(60):
            await put(store, lettered, prepared(f"d{number}", [[1, number, 0, 1]]))
        seen: set[str] = set()
        done = asyncio.Event()

        async def look() -> None:
            while not done.is_set():
                await asyncio.sleep(0)  # a store that answers at once lets nobody else in
                where = store.collection("lettered")
                query = DenseQuery(np.ones(where.dimension, np.float32))
                (result,) = await store.search(
                    [Search(where, 100, select_all, query, parts=HitParts(vectors=True))]
                )
                if isinstance(result, EmbedderChanged):
                    continue
                assert not isinstance(result, Exception)
                lengths = {len(hit.chunk.vector) for hit in result.hits if hit.chunk.vector is not None}
                assert lengths == {where.dimension}
                assert len(result.hits) == 65
                seen.add(where.embedder)

        looking = [asyncio.create_task(look()) for _ in range(4)]
        now = lettered
        for target in (OTHER, THIRD, OTHER):
            seen.clear()
            now = await reembed(store, now, target)
            while target.embedder not in seen:
                await asyncio.sleep(0)
                assert not any(each.done() for each in looking)
        done.set()
        await asyncio.gather(*looking)

    async def test_the_name_alone_can_change(self, store: Store, lettered: Collection) -> None:
        after = await store.rename_embedder(lettered, "alias")
        assert after == replace(lettered, embedder="alias") == store.collection("lettered")
        assert await found_ids(store, lettered) == ["a", "b", "c"]

    async def test_a_collection_that_is_removed_has_no_shadow(
        self, store: Store, lettered: Collection
    ) -> None:
        async with store.shadow(lettered, OTHER) as shadow:
            await keep_all(shadow)
            await store.delete_collection(lettered)
            calls: list[Callable[[], Awaitable[object]]] = [
                shadow.left,
                shadow.swap,
                lambda: shadow.page(max_chunks=1, max_bytes=1),
                lambda: shadow.keep([]),
                lambda: store.discard_shadow(lettered),
                lambda: store.rename_embedder(lettered, "alias"),
            ]
            for call in calls:
                with pytest.raises(CollectionNotFound):
                    await call()
        with pytest.raises(CollectionNotFound):
            async with store.shadow(lettered, OTHER):
                pass


class DurableShadowContract:
    """What a Store that keeps what it is given must keep of a shadow."""

    def make_store(self, path: Path) -> Store:
        raise NotImplementedError

    async def test_a_shadow_survives_a_restart(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        await store.open()
        made = await store.create_collection(spec("lettered", embedder="old"), "old/1")
        for letter in "abcdefgh":
            await put(store, made, prepared(letter, [[1, 2, 3, 4], [4, 3, 2, 1]]))
        async with store.shadow(made, OTHER) as shadow:
            page = await shadow.page(max_chunks=8, max_bytes=MUCH)
            await shadow.keep([renewed(each) for each in page])
        await put(store, made, prepared("a", [[1, 1, 1, 1]]))
        store = await self._again(store, tmp_path)
        try:
            assert store.collection("lettered") == made
            assert await found_ids(store, made) == list("abcdefgh")
            async with store.shadow(made, OTHER) as shadow:
                assert await keep_all(shadow) == [*"efgh", "a"]
                after = await shadow.swap()
            assert after is not None
            store = await self._again(store, tmp_path)
            assert store.collection("lettered") == after
            assert await found_ids(store, after, [1, 1, 1]) == list("abcdefgh")
            found = await find(store, after, [1, 1, 0.5], candidates=1, parts=HitParts(vectors=True))
            assert found.hits[0].doc_id == "a"
            assert found.hits[0].score == pytest.approx(1)
            page_ = await store.list_chunks(
                after, "h", first=0, limit=2, include_vectors=True, max_bytes=MUCH
            )
            assert [len(each.vector) for each in page_.chunks if each.vector is not None] == [3, 3]
        finally:
            await store.close()

    async def _again(self, store: Store, path: Path) -> Store:
        await store.close()
        again = self.make_store(path)
        await again.open()
        return again

"""What every store must do with writes: outcomes, revisions, order, conditions."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from rag_grpc.core.errors import DocumentNotFound, LimitExceeded, RevisionMismatch
from rag_grpc.core.models import (
    Collection,
    DeleteMatches,
    DeleteOutcome,
    DeleteRefs,
    DocumentMatch,
    DocumentRef,
    IngestStatus,
    MetadataDict,
    PatchMetadata,
    PatchOutcome,
    PutDocument,
    PutOutcome,
    VectorsNeeded,
)
from rag_grpc.core.ports import Store
from tests.contracts.fakes import JsonCodec, find, found_ids, prepared, put, without_vectors


async def patch(
    store: Store, collection: Collection, doc_id: str, changes: MetadataDict, **more: object
) -> PatchOutcome:
    write = replace(PatchMetadata(collection, doc_id, changes), **more)  # type: ignore[arg-type]  # any field
    outcome = await store.submit(write)
    assert isinstance(outcome, PatchOutcome)
    return outcome


async def delete(
    store: Store, collection: Collection, *refs: DocumentRef, validate_only: bool = False
) -> DeleteOutcome:
    outcome = await store.submit(DeleteRefs(collection, refs, validate_only))
    assert isinstance(outcome, DeleteOutcome)
    return outcome


async def delete_matches(store: Store, collection: Collection, matches: list[DocumentMatch]) -> int:
    outcome = await store.submit(DeleteMatches(collection, tuple(matches)))
    assert isinstance(outcome, DeleteOutcome)
    return outcome.deleted


class PutContract:
    """PutDocument."""

    async def test_a_new_document_is_created_and_is_read_back_whole(
        self, store: Store, collection: Collection
    ) -> None:
        sent = prepared(
            "a",
            [[1, 2, 3, 4], [4, 3, 2, 1]],
            text="Grüße, 世界 😀",
            title="A title",
            media_type="text/markdown",
            metadata={"lang": "de", "deep": {"list": [1.0, None, "x", True]}},
            texts=["Grüße", "世界 😀"],
        )
        outcome = await put(store, collection, sent)
        assert outcome.status is IngestStatus.CREATED
        assert outcome.chunk_count == 2
        (document,) = await store.documents(collection, ["a"], include_text=True)
        assert document is not None
        assert document.revision == outcome.revision
        for name in ("doc_id", "text", "title", "media_type", "packed_metadata", "content_hash"):
            assert getattr(document, name) == getattr(sent, name), name
        assert document.chunk_count == 2
        assert 0 < document.create_time == document.update_time
        page = await store.list_chunks(
            collection, "a", first=0, limit=10, include_vectors=True, max_bytes=10_000
        )
        for chunk, made in zip(page.chunks, sent.chunks, strict=True):
            assert (chunk.text, chunk.start, chunk.end, chunk.headings) == (
                made.text,
                made.start,
                made.end,
                made.headings,
            )
        vectors = [chunk.vector for chunk in page.chunks]
        np.testing.assert_array_equal(np.stack([each for each in vectors if each is not None]), sent.vectors)

    async def test_a_chunk_without_place_and_headings_comes_back_so(
        self, store: Store, collection: Collection
    ) -> None:
        document = prepared("a")
        bare = tuple(each._replace(start=None, end=None, headings=()) for each in document.chunks)
        await put(store, collection, document._replace(chunks=bare))
        page = await store.list_chunks(
            collection, "a", first=0, limit=1, include_vectors=False, max_bytes=10_000
        )
        assert (page.chunks[0].start, page.chunks[0].end, page.chunks[0].headings) == (None, None, ())
        assert page.chunks[0].vector is None

    async def test_other_content_replaces_all_of_it(self, store: Store, collection: Collection) -> None:
        created = await put(store, collection, prepared("a", [[1, 0, 0, 0], [0, 1, 0, 0]], text="old"))
        (before,) = await store.documents(collection, ["a"], include_text=True)
        replaced = await put(store, collection, prepared("a", [0, 0, 1, 0], text="new", texts=["new"]))
        assert replaced.status is IngestStatus.REPLACED
        assert replaced.chunk_count == 1
        assert replaced.revision > created.revision
        (after,) = await store.documents(collection, ["a"], include_text=True)
        assert before is not None
        assert after is not None
        assert after.text == "new"
        assert after.create_time == before.create_time
        assert after.update_time >= before.update_time
        result = await find(store, collection, [1, 1, 1, 0])
        assert [hit.chunk.text for hit in result.hits] == ["new"]
        assert store.counts(collection).chunks == 1

    async def test_the_same_content_is_unchanged_and_writes_nothing(
        self, store: Store, collection: Collection
    ) -> None:
        document = prepared("a", metadata={"n": 1.0})
        first = await put(store, collection, document)
        before = await store.documents(collection, ["a"], include_text=True)
        again = await put(store, collection, document)
        assert again == PutOutcome(IngestStatus.UNCHANGED, first.revision, first.chunk_count)
        assert await put(store, collection, without_vectors(document)) == again
        assert await store.documents(collection, ["a"], include_text=True) == before

    async def test_the_same_embedding_key_keeps_chunks_and_vectors(
        self, store: Store, collection: Collection
    ) -> None:
        first = await put(store, collection, prepared("a", [[1, 2, 0, 0], [0, 0, 1, 2]], text="one"))
        described = prepared(
            "a", [[1, 2, 0, 0], [0, 0, 1, 2]], text="two", metadata={"n": 2.0}, media_type="text/markdown"
        )
        outcome = await put(store, collection, without_vectors(described))
        assert outcome.status is IngestStatus.REPLACED
        assert outcome.chunk_count == 2
        assert outcome.revision > first.revision
        (document,) = await store.documents(collection, ["a"], include_text=True)
        assert document is not None
        assert (document.text, document.media_type) == ("two", "text/markdown")
        assert document.content_hash == described.content_hash
        assert document.packed_metadata == described.packed_metadata
        result = await find(store, collection, [1, 2, 0, 0])
        assert [hit.chunk.text for hit in result.hits] == ["a, part 0", "a, part 1"]
        assert {hit.packed_metadata for hit in result.hits} == {described.packed_metadata}
        assert (await put(store, collection, described)).status is IngestStatus.UNCHANGED

    async def test_vectors_that_are_sent_where_the_key_is_stored_do_no_harm(
        self, store: Store, collection: Collection
    ) -> None:
        await put(store, collection, prepared("a", text="one"))
        outcome = await put(store, collection, prepared("a", text="two"))
        assert (outcome.status, outcome.chunk_count) == (IngestStatus.REPLACED, 1)
        assert store.counts(collection).chunks == 1

    async def test_without_vectors_and_without_a_stored_document_vectors_are_needed(
        self, store: Store, collection: Collection
    ) -> None:
        document = without_vectors(prepared("a"))
        assert await store.submit(PutDocument(collection, document)) == VectorsNeeded()
        assert store.counts(collection).documents == 0

    async def test_without_vectors_and_with_another_key_vectors_are_needed(
        self, store: Store, collection: Collection
    ) -> None:
        await put(store, collection, prepared("a", text="old"))
        before = await store.documents(collection, ["a"], include_text=True)
        other = without_vectors(prepared("a", [0, 1, 0, 0], text="new"))
        assert await store.submit(PutDocument(collection, other)) == VectorsNeeded()
        assert await store.documents(collection, ["a"], include_text=True) == before

    async def test_an_expected_revision_that_holds_lets_the_write_through(
        self, store: Store, collection: Collection
    ) -> None:
        first = await store.submit(PutDocument(collection, prepared("a", text="1"), 0))
        assert isinstance(first, PutOutcome)
        second = await store.submit(
            PutDocument(collection, prepared("a", [0, 1, 0, 0], text="2"), first.revision)
        )
        assert isinstance(second, PutOutcome)
        assert second.status is IngestStatus.REPLACED

    @pytest.mark.parametrize("distance", [None, -1, 1])
    async def test_an_expected_revision_that_does_not_hold_writes_nothing(
        self, store: Store, collection: Collection, distance: int | None
    ) -> None:
        current = (await put(store, collection, prepared("a", text="1"))).revision
        before = await store.documents(collection, ["a"], include_text=True)
        expected = 0 if distance is None else current + distance
        for document in (prepared("a", text="2"), prepared("a", [0, 1, 0, 0])):
            with pytest.raises(RevisionMismatch) as caught:
                await store.submit(PutDocument(collection, document, expected))
            assert caught.value.current == current
        assert await store.documents(collection, ["a"], include_text=True) == before

    async def test_a_missing_document_has_revision_0(self, store: Store, collection: Collection) -> None:
        with pytest.raises(RevisionMismatch) as caught:
            await store.submit(PutDocument(collection, prepared("a"), 7))
        assert caught.value.current == 0
        assert await store.documents(collection, ["a"], include_text=True) == [None]

    async def test_the_same_content_is_unchanged_whatever_revision_was_expected(
        self, store: Store, collection: Collection
    ) -> None:
        first = await put(store, collection, prepared("a"))
        for expected in (0, first.revision + 1):
            outcome = await store.submit(PutDocument(collection, prepared("a"), expected))
            assert outcome == PutOutcome(IngestStatus.UNCHANGED, first.revision, 1)

    async def test_revisions_grow_across_deletion(self, store: Store, collection: Collection) -> None:
        seen = [0]
        for _ in range(3):
            seen.append((await put(store, collection, prepared("a"))).revision)
            seen.append((await patch(store, collection, "a", {"n": 1.0})).revision)
            await delete(store, collection, DocumentRef("a"))
        assert seen == sorted(set(seen))

    async def test_the_largest_numbers_and_odd_strings_survive(
        self, store: Store, collection: Collection
    ) -> None:
        metadata: MetadataDict = {"": "empty key", "big": 2.0**53, "tiny": 5e-324, "nul": "a\0b", "e": {}}
        doc_id = "x" * 512
        sent = prepared(doc_id, [1e-30, 1e9, -0.0, 3], text="line\r\n\ttab\0nul", metadata=metadata)
        await put(store, collection, sent)
        (document,) = await store.documents(collection, [doc_id], include_text=True)
        assert document is not None
        assert document.text == sent.text
        assert JsonCodec().unpack(document.packed_metadata) == metadata


class OrderContract:
    """Many writes at once."""

    async def test_writes_are_applied_in_the_order_of_submission(
        self, store: Store, collection: Collection
    ) -> None:
        futures = [
            store.submit(PutDocument(collection, prepared("a", [place + 1, 1, 0, 0], text=str(place))))
            for place in range(100)
        ]
        outcomes = await asyncio.gather(*futures)
        revisions = [each.revision for each in outcomes if isinstance(each, PutOutcome)]
        assert len(revisions) == 100
        assert revisions == sorted(set(revisions))
        (document,) = await store.documents(collection, ["a"], include_text=True)
        assert document is not None
        assert (document.text, document.revision) == ("99", revisions[-1])
        assert store.counts(collection).chunks == 1

    async def test_a_write_builds_on_the_ones_before_it(self, store: Store, collection: Collection) -> None:
        futures = [
            store.submit(PutDocument(collection, prepared("a"))),
            store.submit(PatchMetadata(collection, "a", {"n": 1.0})),
            store.submit(PutDocument(collection, prepared("a"))),
            store.submit(DeleteRefs(collection, (DocumentRef("a"),))),
            store.submit(PatchMetadata(collection, "a", {"n": 2.0})),
            store.submit(PutDocument(collection, prepared("a"), 0)),
        ]
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        statuses = [each.status for each in outcomes if isinstance(each, PutOutcome)]
        assert statuses == [IngestStatus.CREATED, IngestStatus.REPLACED, IngestStatus.CREATED]
        assert outcomes[3] == DeleteOutcome(matched=1, deleted=1)
        assert isinstance(outcomes[4], DocumentNotFound)

    async def test_a_write_that_fails_takes_no_other_with_it(
        self, store: Store, collection: Collection
    ) -> None:
        writes = [
            PutDocument(collection, prepared(f"d{place}"), 99 if place % 3 == 0 else None)
            for place in range(60)
        ]
        outcomes = await asyncio.gather(*map(store.submit, writes), return_exceptions=True)
        for place, outcome in enumerate(outcomes):
            if place % 3 == 0:
                assert isinstance(outcome, RevisionMismatch)
            else:
                assert isinstance(outcome, PutOutcome)
        assert store.counts(collection).documents == 40
        assert len(await found_ids(store, collection)) == 40

    async def test_a_large_group_is_stored_whole(self, store: Store, collection: Collection) -> None:
        numbers = np.random.default_rng(1).normal(size=(2500, 4)).astype(np.float32)
        futures = [
            store.submit(PutDocument(collection, prepared(f"d{place}", row)))
            for place, row in enumerate(numbers)
        ]
        await asyncio.gather(*futures)
        assert store.counts(collection).documents == 2500
        result = await find(store, collection, numbers[1234], candidates=1, exact=True)
        assert result.hits[0].doc_id == "d1234"

    async def test_what_was_answered_is_seen_by_the_next_read_and_search(
        self, store: Store, collection: Collection
    ) -> None:
        for place in range(30):
            text = f"version {place}"
            await put(store, collection, prepared("a", [1, place, 0, 0], text=text, texts=[text]))
            (document,) = await store.documents(collection, ["a"], include_text=True)
            assert document is not None
            assert document.text == text
            result = await find(store, collection, [1, 0, 0, 0])
            assert [hit.chunk.text for hit in result.hits] == [text]

    async def test_a_withdrawn_write_is_done_whole_or_not_at_all(
        self, store: Store, collection: Collection
    ) -> None:
        documents = [prepared(f"d{place:03}", [[1, place, 0, 0], [0, 1, 0, 1]]) for place in range(200)]
        futures = [store.submit(PutDocument(collection, each)) for each in documents]
        for future in futures[::2]:
            future.cancel()
        kept = await asyncio.gather(*futures[1::2])
        assert {each.status for each in kept if isinstance(each, PutOutcome)} == {IngestStatus.CREATED}
        assert all(each.cancelled() for each in futures[::2])
        # Whatever was begun before it was cancelled is applied before a write that comes after it.
        await put(store, collection, prepared("last"))
        there = await store.documents(collection, [each.doc_id for each in documents], include_text=False)
        assert all(there[1::2])
        live = [each for each in there if each is not None]
        counts = store.counts(collection)
        assert (counts.documents, counts.chunks) == (len(live) + 1, 2 * len(live) + 1)
        assert len(await found_ids(store, collection)) == len(live) + 1


class PatchContract:
    """PatchMetadata."""

    async def test_a_patch_merges(self, store: Store, collection: Collection) -> None:
        metadata: MetadataDict = {"keep": 1.0, "drop": "x", "deep": {"a": 1.0, "b": [1.0]}}
        first = await put(store, collection, prepared("a", metadata=metadata, text="text", title="title"))
        changes: MetadataDict = {"drop": None, "new": True, "deep": {"a": None, "c": "d"}}
        outcome = await patch(store, collection, "a", changes)
        merged = {"keep": 1.0, "new": True, "deep": {"b": [1.0], "c": "d"}}
        assert JsonCodec().unpack(outcome.packed_metadata) == merged
        assert outcome.revision > first.revision
        (document,) = await store.documents(collection, ["a"], include_text=True)
        assert document is not None
        assert document.revision == outcome.revision
        assert document.packed_metadata == outcome.packed_metadata
        assert (document.text, document.title) == ("text", "title")

    async def test_a_patch_keeps_the_chunks_and_is_seen_by_searches(
        self, store: Store, collection: Collection
    ) -> None:
        await put(store, collection, prepared("a", [[1, 0, 0, 0], [0, 1, 0, 0]], metadata={"n": 1.0}))
        before = await store.list_chunks(
            collection, "a", first=0, limit=9, include_vectors=False, max_bytes=10_000
        )
        key = await store.embedding_key(collection, "a")
        outcome = await patch(store, collection, "a", {"n": 2.0})
        after = await store.list_chunks(
            collection, "a", first=0, limit=9, include_vectors=False, max_bytes=10_000
        )
        assert after.chunks == before.chunks
        assert after.revision == outcome.revision
        assert await store.embedding_key(collection, "a") == key
        result = await find(store, collection, [1, 1, 0, 0])
        assert [hit.packed_metadata for hit in result.hits] == [outcome.packed_metadata] * 2

    async def test_replace_stores_the_patch_as_it_stands(self, store: Store, collection: Collection) -> None:
        await put(store, collection, prepared("a", metadata={"old": 1.0}))
        changes: MetadataDict = {"new": {"nested": None}, "dropped": None}
        outcome = await patch(store, collection, "a", changes, replace=True)
        assert JsonCodec().unpack(outcome.packed_metadata) == {"new": {"nested": None}}

    @pytest.mark.parametrize("changes", [{}, {"n": 1.0}, {"missing": None}, {"deep": {"x": "y"}}])
    async def test_a_patch_that_changes_nothing_leaves_the_revision(
        self, store: Store, collection: Collection, changes: MetadataDict
    ) -> None:
        first = await put(store, collection, prepared("a", metadata={"n": 1.0, "deep": {"x": "y"}}))
        before = await store.documents(collection, ["a"], include_text=True)
        assert (await patch(store, collection, "a", changes)).revision == first.revision
        assert await store.documents(collection, ["a"], include_text=True) == before

    async def test_true_and_1_differ(self, store: Store, collection: Collection) -> None:
        first = await put(store, collection, prepared("a", metadata={"n": 1.0}))
        outcome = await patch(store, collection, "a", {"n": True})
        assert outcome.revision > first.revision
        assert JsonCodec().unpack(outcome.packed_metadata)["n"] is True

    async def test_the_content_is_known_again_after_a_patch(
        self, store: Store, collection: Collection
    ) -> None:
        await put(store, collection, prepared("a", metadata={"n": 1.0}))
        await patch(store, collection, "a", {"n": 2.0})
        same = await put(store, collection, prepared("a", metadata={"n": 2.0}))
        assert same.status is IngestStatus.UNCHANGED
        back = await put(store, collection, prepared("a", metadata={"n": 1.0}))
        assert back.status is IngestStatus.REPLACED

    async def test_a_missing_document_is_not_found(self, store: Store, collection: Collection) -> None:
        for expected in (None, 0, 3):
            with pytest.raises(DocumentNotFound):
                await patch(store, collection, "a", {"n": 1.0}, expected_revision=expected)

    async def test_an_expected_revision_is_kept_to(self, store: Store, collection: Collection) -> None:
        first = await put(store, collection, prepared("a"))
        for expected in (0, first.revision + 1):
            with pytest.raises(RevisionMismatch) as caught:
                await patch(store, collection, "a", {"n": 1.0}, expected_revision=expected)
            assert caught.value.current == first.revision
        second = await patch(store, collection, "a", {"n": 1.0}, expected_revision=first.revision)
        assert second.revision > first.revision

    async def test_a_patch_that_is_sent_again_succeeds_whatever_it_expects(
        self, store: Store, collection: Collection
    ) -> None:
        first = await put(store, collection, prepared("a"))
        second = await patch(store, collection, "a", {"n": 1.0}, expected_revision=first.revision)
        again = await patch(store, collection, "a", {"n": 1.0}, expected_revision=first.revision)
        assert again == second

    async def test_metadata_that_becomes_too_long_is_refused(
        self, store: Store, collection: Collection
    ) -> None:
        await put(store, collection, prepared("a", metadata={"n": "x" * 50}))
        before = await store.documents(collection, ["a"], include_text=True)
        with pytest.raises(LimitExceeded):
            await patch(store, collection, "a", {"m": "y" * 50}, max_packed_bytes=100)
        assert await store.documents(collection, ["a"], include_text=True) == before
        await patch(store, collection, "a", {"m": "y"}, max_packed_bytes=100)


class DeleteContract:
    """DeleteRefs and DeleteMatches."""

    async def test_documents_go_with_their_chunks(self, store: Store, collection: Collection) -> None:
        for doc_id in "abc":
            await put(store, collection, prepared(doc_id, [[1, 0, 0, 0], [0, 1, 0, 0]]))
        outcome = await delete(store, collection, DocumentRef("a"), DocumentRef("c"), DocumentRef("missing"))
        assert outcome == DeleteOutcome(matched=2, deleted=2)
        assert await store.documents(collection, ["a", "b"], include_text=False) != [None, None]
        assert await found_ids(store, collection) == ["b"]
        counts = store.counts(collection)
        assert (counts.documents, counts.chunks) == (1, 2)
        assert await store.embedding_key(collection, "a") is None
        with pytest.raises(DocumentNotFound):
            await store.list_chunks(
                collection, "a", first=0, limit=1, include_vectors=False, max_bytes=10_000
            )

    async def test_an_id_that_stands_twice_counts_once(self, store: Store, collection: Collection) -> None:
        await put(store, collection, prepared("a"))
        outcome = await delete(store, collection, DocumentRef("a"), DocumentRef("a"))
        assert outcome == DeleteOutcome(matched=1, deleted=1)

    async def test_deleting_nothing_is_no_error(self, store: Store, collection: Collection) -> None:
        assert await delete(store, collection) == DeleteOutcome(matched=0, deleted=0)
        assert await delete(store, collection, DocumentRef("a")) == DeleteOutcome(matched=0, deleted=0)
        assert await delete(store, collection, DocumentRef("a", 0)) == DeleteOutcome(matched=0, deleted=0)

    async def test_all_or_none_where_revisions_are_expected(
        self, store: Store, collection: Collection
    ) -> None:
        revisions = {
            doc_id: (await put(store, collection, prepared(doc_id))).revision for doc_id in ("a", "b")
        }
        for wrong in (DocumentRef("b", revisions["b"] + 1), DocumentRef("b", 0), DocumentRef("missing", 5)):
            with pytest.raises(RevisionMismatch):
                await delete(store, collection, DocumentRef("a", revisions["a"]), wrong)
        assert await found_ids(store, collection) == ["a", "b"]
        refs = [DocumentRef(doc_id, revision) for doc_id, revision in revisions.items()]
        assert await delete(store, collection, *refs) == DeleteOutcome(matched=2, deleted=2)

    async def test_validate_only_counts_and_removes_nothing(
        self, store: Store, collection: Collection
    ) -> None:
        first = await put(store, collection, prepared("a"))
        refs = (DocumentRef("a"), DocumentRef("missing"))
        outcome = await delete(store, collection, *refs, validate_only=True)
        assert outcome == DeleteOutcome(matched=1, deleted=0)
        with pytest.raises(RevisionMismatch):
            await delete(store, collection, DocumentRef("a", first.revision + 1), validate_only=True)
        assert await found_ids(store, collection) == ["a"]

    async def test_a_document_can_come_again(self, store: Store, collection: Collection) -> None:
        await put(store, collection, prepared("a"))
        await delete(store, collection, DocumentRef("a"))
        assert (await put(store, collection, prepared("a"))).status is IngestStatus.CREATED
        assert await found_ids(store, collection) == ["a"]
        assert store.counts(collection).chunks == 1

    async def test_matches_that_stayed_as_they_were_are_removed(
        self, store: Store, collection: Collection
    ) -> None:
        for doc_id in "abcd":
            await put(store, collection, prepared(doc_id))
        matches = await store.matches(collection, None)
        assert sorted(each.doc_id for each in matches) == ["a", "b", "c", "d"]
        await put(store, collection, prepared("a", [0, 1, 0, 0]))
        await patch(store, collection, "b", {"n": 1.0})
        await delete(store, collection, DocumentRef("c"))
        assert await delete_matches(store, collection, matches) == 2
        assert await found_ids(store, collection) == ["a"]
        assert store.counts(collection).documents == 1

    async def test_a_document_that_came_again_is_not_the_one_that_matched(
        self, store: Store, collection: Collection
    ) -> None:
        await put(store, collection, prepared("a"))
        matches = await store.matches(collection, None)
        await delete(store, collection, DocumentRef("a"))
        await put(store, collection, prepared("a"))
        assert await delete_matches(store, collection, matches) == 0
        assert await found_ids(store, collection) == ["a"]

    async def test_a_new_text_over_the_same_chunks_is_newer_content(
        self, store: Store, collection: Collection
    ) -> None:
        await put(store, collection, prepared("a", text="old"))
        matches = await store.matches(collection, None)
        await put(store, collection, without_vectors(prepared("a", text="new")))
        assert await delete_matches(store, collection, matches) == 0

    async def test_other_metadata_over_the_same_content_is_not(
        self, store: Store, collection: Collection
    ) -> None:
        await put(store, collection, prepared("a", text="text"))
        matches = await store.matches(collection, None)
        await put(store, collection, prepared("a", text="text", metadata={"n": 1.0}))
        assert await store.matches(collection, None) == matches
        assert await delete_matches(store, collection, matches) == 1

    async def test_matches_of_an_empty_collection(self, store: Store, collection: Collection) -> None:
        assert await store.matches(collection, None) == []
        assert await delete_matches(store, collection, []) == 0

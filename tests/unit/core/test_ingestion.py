"""Writes through the lanes: order, skipped embeddings, withdrawals, deletions."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import (
    CollectionNotFound,
    DocumentNotFound,
    InvalidField,
    LimitExceeded,
    ModelUnavailable,
    NotConfigured,
    RagError,
    RevisionMismatch,
)
from rag_grpc.core.ingestion import Ingestion, IngestItem
from rag_grpc.core.lanes import Lanes
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import (
    ChunkDraft,
    Collection,
    DeleteMatches,
    DeleteOutcome,
    DocumentDraft,
    DocumentRef,
    IngestStatus,
    MetadataDict,
    Outcome,
    PutDocument,
    PutOutcome,
    Write,
)
from rag_grpc.stores.memory import MemoryStore
from tests.contracts.fakes import JsonCodec, LetterEmbedder, LineSplitter, Records, found_ids, spec


@dataclass
class Gate(LetterEmbedder):
    """An embedder that stops at texts that say so, until it is opened."""

    opened: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if any("wait" in text for text in texts):
            self.entered.set()
            assert self.opened.wait(timeout=10)
        if any("bad" in text for text in texts):
            raise ModelUnavailable("no")
        return super().embed(texts)


class WatchedStore(MemoryStore):
    """Remembers its writes; one that was begun completes, as in a transaction, though its caller left."""

    def __init__(self) -> None:
        super().__init__(codec=JsonCodec())
        self.writes: list[Write] = []
        self.hold: asyncio.Event | None = None
        self.matches_submitted = asyncio.Event()
        self.begun = set[asyncio.Task[None]]()

    def submit(self, write: Write) -> asyncio.Future[Outcome]:
        self.writes.append(write)
        if isinstance(write, DeleteMatches):
            self.matches_submitted.set()
        if self.hold is None:
            return super().submit(write)
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[Outcome] = loop.create_future()
        self.begun.add(loop.create_task(self._later(write, asked, self.hold)))
        return asked

    async def _later(self, write: Write, asked: asyncio.Future[Outcome], hold: asyncio.Event) -> None:
        await hold.wait()
        outcome = await super().submit(write)
        if not asked.done():
            asked.set_result(outcome)


class House:
    """An ingestion with what it stands on."""

    def __init__(self) -> None:
        self.store = WatchedStore()
        self.embedder = Gate()
        self.telemetry = Records()
        self.lanes = Lanes()
        self.limits = Limits(max_document_chunks=50, max_metadata_bytes=200)
        embedders = {"letters": self.embedder}
        self.embedding = EmbeddingQueue(embedders, self.telemetry)
        self.ingestion = Ingestion(
            store=self.store,
            embedders=embedders,
            splitter=LineSplitter(),
            codec=JsonCodec(),
            limits=self.limits,
            lanes=self.lanes,
            embedding=self.embedding,
            telemetry=self.telemetry,
        )
        self.words: Collection
        self.bare: Collection

    async def text_of(self, doc_id: str, collection: Collection | None = None) -> str | None:
        (document,) = await self.store.documents(collection or self.words, [doc_id], include_text=True)
        return None if document is None else document.text

    async def ids(self, collection: Collection | None = None) -> list[str]:
        where = collection or self.words
        return await found_ids(self.store, where, [1] * where.dimension)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    await house.store.open()
    house.words = await house.store.create_collection(
        spec("default", embedder="letters", dimension=8), "letters/1"
    )
    house.bare = await house.store.create_collection(spec("bare"), "")
    yield house
    house.embedder.opened.set()
    await house.embedding.close()
    await house.store.close()
    assert house.lanes.idle, "a ticket was not released"


def text(doc_id: str, content: str, *, revision: int | None = None, **fields: Any) -> IngestItem:
    return IngestItem(DocumentDraft(doc_id, text=content, **fields), revision)


def ready(doc_id: str, *values: float, revision: int | None = None, **fields: Any) -> IngestItem:
    chunk = ChunkDraft("chunk", vector=np.array(values, np.float32))
    return IngestItem(DocumentDraft(doc_id, chunks=(chunk,), **fields), revision)


def statuses(outcomes: Sequence[PutOutcome | RagError]) -> list[IngestStatus | type[RagError]]:
    return [each.status if isinstance(each, PutOutcome) else type(each) for each in outcomes]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


CREATED, REPLACED, UNCHANGED = IngestStatus.CREATED, IngestStatus.REPLACED, IngestStatus.UNCHANGED


class TestIngest:
    async def test_a_text_is_split_embedded_and_found(self, house: House) -> None:
        (outcome,) = await house.ingestion.ingest("", [text("a", "one\ntwo\n", title="T")])
        assert isinstance(outcome, PutOutcome)
        assert (outcome.status, outcome.chunk_count) == (CREATED, 2)
        assert await house.text_of("a") == "one\ntwo\n"
        assert await house.ids() == ["a"]
        assert house.embedder.batches == [("T\none\n", "T\ntwo\n")]
        assert "split" in house.telemetry.stages

    async def test_a_long_text_goes_through_a_thread(self, house: House) -> None:
        long = "word " * 1999 + "\n"
        (outcome,) = await house.ingestion.ingest("", [text("a", long)])
        assert isinstance(outcome, PutOutcome)
        assert outcome.chunk_count == 50
        assert await house.text_of("a") == long

    async def test_ready_vectors_are_stored_as_they_are(self, house: House) -> None:
        items = [ready(f"d{n}", 1, n, 0, 0) for n in range(200)]
        outcomes = await house.ingestion.ingest("bare", items)
        assert statuses(outcomes) == [CREATED] * 200
        assert house.embedder.batches == []
        assert len(await house.ids(house.bare)) == 200

    async def test_each_item_succeeds_or_fails_by_itself(self, house: House) -> None:
        handed_in = InvalidField("a bad field")
        items: list[IngestItem | RagError] = [
            text("a", "good"),
            handed_in,
            text("b", "bad"),
            text("c", " "),
            text("d", "x\n" * 51),
            text("e", "good", revision=7),
            IngestItem(DocumentDraft("f", chunks=(ChunkDraft("mine"),))),
            text("g", "good", metadata={"k": "x" * 200}),
        ]
        outcomes = await house.ingestion.ingest("", items)
        assert statuses(outcomes) == [
            CREATED,
            InvalidField,
            ModelUnavailable,
            InvalidField,
            LimitExceeded,
            RevisionMismatch,
            CREATED,
            LimitExceeded,
        ]
        assert outcomes[1] is handed_in
        assert await house.ids() == ["a", "f"]

    async def test_ready_and_other_items_may_be_mixed(self, house: House) -> None:
        chunk = ChunkDraft("mine", vector=np.ones(8, np.float32))
        bad = ChunkDraft("mine", vector=np.zeros(8, np.float32))
        items = [
            text("a", "text"),
            IngestItem(DocumentDraft("b", chunks=(chunk,), embedder_fingerprint="letters/1")),
            IngestItem(DocumentDraft("c", chunks=(bad,), embedder_fingerprint="letters/1")),
            IngestItem(DocumentDraft("d", chunks=(chunk,))),
        ]
        outcomes = await house.ingestion.ingest("", items)
        assert statuses(outcomes) == [CREATED, CREATED, InvalidField, InvalidField]

    async def test_an_unknown_collection_is_refused_at_once(self, house: House) -> None:
        with pytest.raises(CollectionNotFound):
            house.ingestion.ingest("missing", [text("a", "text")])

    async def test_an_empty_message_has_an_empty_answer(self, house: House) -> None:
        assert await house.ingestion.ingest("", []) == []

    async def test_a_collection_whose_embedder_is_gone_fails_its_items(self, house: House) -> None:
        await house.store.create_collection(spec("gone", embedder="gone", dimension=8), "gone/1")
        assert statuses(await house.ingestion.ingest("gone", [text("a", "text")])) == [NotConfigured]

    async def test_the_same_text_is_neither_split_nor_embedded_again(self, house: House) -> None:
        await house.ingestion.ingest("", [text("a", "text")])
        house.embedder.batches.clear()
        house.telemetry.stages.clear()
        again = await house.ingestion.ingest("", [text("a", "text")])
        described = await house.ingestion.ingest("", [text("a", "text", metadata={"n": 1.0})])
        assert statuses([*again, *described]) == [UNCHANGED, REPLACED]
        assert house.embedder.batches == []
        assert house.telemetry.stages == []

    async def test_one_document_twice_in_a_message_is_applied_in_order(self, house: House) -> None:
        outcomes = await house.ingestion.ingest(
            "bare", [ready("a", 1, 0, 0, 0, text="one"), ready("a", 0, 1, 0, 0, text="two")] * 3
        )
        assert statuses(outcomes) == [CREATED] + [REPLACED] * 5
        assert await house.text_of("a", house.bare) == "two"
        outcomes = await house.ingestion.ingest("", [text("a", "one"), text("a", "two"), text("a", "two")])
        assert statuses(outcomes) == [CREATED, REPLACED, UNCHANGED]
        assert await house.text_of("a") == "two"

    async def test_a_ready_document_waits_for_a_text_that_came_earlier(self, house: House) -> None:
        first = house.ingestion.ingest("", [text("a", "wait")])
        chunk = ChunkDraft("mine", vector=np.ones(8, np.float32))
        second = house.ingestion.ingest(
            "",
            [IngestItem(DocumentDraft("a", text="later", chunks=(chunk,), embedder_fingerprint="letters/1"))],
        )
        await settle()
        assert not second.done()
        house.embedder.opened.set()
        assert statuses([*(await first), *(await second)]) == [CREATED, REPLACED]
        assert await house.text_of("a") == "later"

    async def test_other_documents_do_not_wait_for_a_slow_one(self, house: House) -> None:
        slow = house.ingestion.ingest("", [text("a", "wait")])
        chunk = ChunkDraft("mine", vector=np.ones(8, np.float32))
        quick = await house.ingestion.ingest(
            "", [IngestItem(DocumentDraft("b", chunks=(chunk,), embedder_fingerprint="letters/1"))]
        )
        assert statuses(quick) == [CREATED]
        assert not slow.done()
        house.embedder.opened.set()
        assert statuses(await slow) == [CREATED]

    async def test_racing_writes_of_one_document_end_in_the_last(self, house: House) -> None:
        rng = random.Random(3)
        for _ in range(60):
            tasks = []
            for place in range(8):
                # Lines differ, so numbers of batches and with them embedding times differ.
                item = (
                    text("a", f"{place}\n" * rng.randint(1, 12))
                    if rng.random() < 0.7
                    else IngestItem(
                        DocumentDraft(
                            "a",
                            text=f"{place}\n",
                            chunks=(ChunkDraft("c", vector=np.full(8, place + 1, np.float32)),),
                            embedder_fingerprint="letters/1",
                        )
                    )
                )
                tasks.append(house.ingestion.ingest("", [item]))
                if rng.random() < 0.3:
                    await asyncio.sleep(0)
            await asyncio.gather(*tasks)
            last = await house.text_of("a")
            assert last is not None
            assert last.startswith("7")


class TestSkippingEmbedding:
    async def test_a_removal_in_between_embeds_after_all_and_keeps_the_order(self, house: House) -> None:
        await house.ingestion.ingest("", [text("a", "first")])
        house.store.hold = asyncio.Event()
        again = house.ingestion.ingest("", [text("a", "first")])
        await settle()
        put = house.store.writes[-1]
        assert isinstance(put, PutDocument)
        assert put.document.vectors is None
        # What DeleteDocuments(all) does after its barrier, between the question and the answer.
        contents = house.store._contents(house.words)
        contents._remove("a")
        later = house.ingestion.ingest("", [text("a", "second")])
        await settle()
        assert not later.done()
        house.store.hold.set()
        house.store.hold = None
        assert statuses([*(await again), *(await later)]) == [CREATED, REPLACED]
        assert await house.text_of("a") == "second"

    async def test_the_store_is_not_asked_while_an_earlier_write_is_open(self, house: House) -> None:
        await house.ingestion.ingest("", [text("a", "first")])
        first = house.ingestion.ingest("", [text("a", "second")])
        second = house.ingestion.ingest("", [text("a", "first")])
        assert statuses([*(await first), *(await second)]) == [REPLACED, REPLACED]
        assert await house.text_of("a") == "first"


class TestWithdrawing:
    async def test_a_task_that_is_cancelled_before_its_first_step_releases_its_tickets(
        self, house: House
    ) -> None:
        task = house.ingestion.ingest("", [text("a", "never")])
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert statuses(await house.ingestion.ingest("", [text("a", "text")])) == [CREATED]

    async def test_a_cancelled_message_withdraws_what_is_queued(self, house: House) -> None:
        task = house.ingestion.ingest("bare", [ready(f"d{n}", 1, 0, 0, n) for n in range(100)])
        # One turn: the first sweep is queued and nothing is applied.
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await house.ingestion.ingest("bare", [ready("last", 1, 0, 0, 0)])
        left = await house.ids(house.bare)
        assert "last" in left
        assert len(left) <= 65

    async def test_a_cancelled_text_is_not_stored(self, house: House) -> None:
        task = house.ingestion.ingest("", [text("a", "wait"), text("b", "wait too")])
        assert await asyncio.to_thread(house.embedder.entered.wait, 10)
        later = house.ingestion.ingest("", [text("a", "later")])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        house.embedder.opened.set()
        assert statuses(await later) == [CREATED]
        assert await house.ids() == ["a"]

    async def test_whoever_drops_the_task_loses_nothing(self, house: House) -> None:
        house.ingestion.ingest("bare", [ready("a", 1, 0, 0, 0)])
        outcomes = await house.ingestion.ingest("bare", [ready("a", 1, 0, 0, 0)])
        assert statuses(outcomes) == [UNCHANGED]

    async def test_any_cancellation_leaves_the_lanes_open(self, house: House) -> None:
        rng = random.Random(5)
        house.embedder.opened.set()
        for _ in range(40):
            tasks: list[asyncio.Future[Any]] = []
            for _ in range(6):
                match rng.randint(0, 3):
                    case 0:
                        tasks.append(
                            house.ingestion.ingest("", [text(rng.choice("ab"), "wait") for _ in "12"])
                        )
                    case 1:
                        refs = [DocumentRef(each) for each in "ab"]
                        tasks.append(
                            asyncio.ensure_future(house.ingestion.delete_refs("", refs, validate_only=False))
                        )
                    case 2:
                        tasks.append(
                            asyncio.ensure_future(
                                house.ingestion.delete_matching("", "", validate_only=False)
                            )
                        )
                    case _:
                        tasks.append(house.ingestion.ingest("", [text(rng.choice("ab"), str(rng.random()))]))
            for task in tasks:
                for _ in range(rng.randint(0, 3)):
                    await asyncio.sleep(0)
                if rng.random() < 0.5:
                    task.cancel()
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), timeout=10)
            for task in tasks:
                assert task.cancelled() or task.exception() is None
            assert house.lanes.idle


class TestUpdateMetadata:
    async def patch(self, house: House, patch: MetadataDict, **more: Any) -> MetadataDict:
        arguments: dict[str, Any] = {"replace": False, "expected_revision": None} | more
        outcome = await house.ingestion.update_metadata("", "a", patch, **arguments)
        return JsonCodec().unpack(outcome.packed_metadata)

    async def test_it_merges_or_replaces(self, house: House) -> None:
        await house.ingestion.ingest("", [text("a", "text", metadata={"n": 1.0})])
        assert await self.patch(house, {"m": 2.0}) == {"n": 1.0, "m": 2.0}
        assert await self.patch(house, {"m": 3.0}, replace=True) == {"m": 3.0}
        assert house.embedder.batches == [("text",)]

    async def test_it_is_refused_where_it_cannot_be_done(self, house: House) -> None:
        with pytest.raises(DocumentNotFound):
            await self.patch(house, {"m": 2.0})
        await house.ingestion.ingest("", [text("a", "text")])
        with pytest.raises(RevisionMismatch):
            await self.patch(house, {"m": 2.0}, expected_revision=0)
        with pytest.raises(LimitExceeded):
            await self.patch(house, {"m": "x" * 200})
        with pytest.raises(CollectionNotFound):
            await house.ingestion.update_metadata("no", "a", {}, replace=False, expected_revision=None)

    async def test_it_waits_for_a_document_that_is_being_embedded(self, house: House) -> None:
        put = house.ingestion.ingest("", [text("a", "wait")])
        patch = asyncio.create_task(self.patch(house, {"m": 2.0}))
        await settle()
        assert not patch.done()
        house.embedder.opened.set()
        assert statuses(await put) == [CREATED]
        assert await patch == {"m": 2.0}


class TestDelete:
    async def test_by_id(self, house: House) -> None:
        await house.ingestion.ingest("", [text("a", "1"), text("b", "2"), text("c", "3")])
        refs = [DocumentRef("a"), DocumentRef("missing"), DocumentRef("a"), DocumentRef("c")]
        looked = await house.ingestion.delete_refs("", refs, validate_only=True)
        assert looked == DeleteOutcome(matched=2, deleted=0)
        done = await house.ingestion.delete_refs("", refs, validate_only=False)
        assert done == DeleteOutcome(matched=2, deleted=2)
        assert await house.ids() == ["b"]

    async def test_by_id_all_or_none(self, house: House) -> None:
        await house.ingestion.ingest("", [text("a", "1"), text("b", "2")])
        with pytest.raises(RevisionMismatch):
            await house.ingestion.delete_refs(
                "", [DocumentRef("a"), DocumentRef("b", 0)], validate_only=False
            )
        assert await house.ids() == ["a", "b"]

    async def test_by_id_waits_for_what_is_being_embedded(self, house: House) -> None:
        put = house.ingestion.ingest("", [text("a", "wait")])
        removal = asyncio.create_task(
            house.ingestion.delete_refs("", [DocumentRef("b"), DocumentRef("a")], validate_only=False)
        )
        await settle()
        assert not removal.done()
        house.embedder.opened.set()
        await put
        assert await removal == DeleteOutcome(matched=1, deleted=1)

    async def test_all_in_slices(self, house: House) -> None:
        await house.ingestion.ingest("bare", [ready(f"d{n}", 1, 0, 0, n) for n in range(2500)])
        house.store.writes.clear()
        looked = await house.ingestion.delete_matching("bare", "", validate_only=True)
        assert looked == DeleteOutcome(matched=2500, deleted=0)
        done = await house.ingestion.delete_matching("bare", "", validate_only=False)
        assert done == DeleteOutcome(matched=2500, deleted=2500)
        sizes = [len(each.matches) for each in house.store.writes if isinstance(each, DeleteMatches)]
        assert sizes == [1000, 1000, 500]
        assert await house.ids(house.bare) == []
        again = await house.ingestion.delete_matching("bare", "", validate_only=False)
        assert again == DeleteOutcome(matched=0, deleted=0)

    async def test_all_is_not_survived_by_an_earlier_write(self, house: House) -> None:
        put = house.ingestion.ingest("", [text("a", "wait")])
        removal = asyncio.create_task(house.ingestion.delete_matching("", "", validate_only=False))
        await settle()
        later = house.ingestion.ingest("", [text("b", "later")])
        await settle()
        assert not removal.done()
        assert not later.done()
        house.embedder.opened.set()
        assert statuses(await put) == [CREATED]
        assert await removal == DeleteOutcome(matched=1, deleted=1)
        assert statuses(await later) == [CREATED]
        assert await house.ids() == ["b"]

    async def test_all_is_not_survived_by_a_write_whose_caller_left(self, house: House) -> None:
        house.store.hold = asyncio.Event()
        put = house.ingestion.ingest("bare", [ready("a", 1, 0, 0, 0)])
        await settle()
        put.cancel()
        await asyncio.wait([put])
        removal = asyncio.create_task(house.ingestion.delete_matching("bare", "", validate_only=False))
        await settle()
        house.store.hold.set()
        assert await removal == DeleteOutcome(matched=1, deleted=1)
        assert await house.ids(house.bare) == []

    async def test_all_leaves_what_gets_new_content_between_its_slices(self, house: House) -> None:
        await house.ingestion.ingest("bare", [ready(f"d{n:04}", 1, 0, 0, n) for n in range(1500)])
        removal = asyncio.create_task(house.ingestion.delete_matching("bare", "", validate_only=False))
        await house.store.matches_submitted.wait()
        renewed = house.ingestion.ingest("bare", [ready("d1499", 0, 1, 0, 0)])
        assert await removal == DeleteOutcome(matched=1500, deleted=1499)
        assert statuses(await renewed) == [REPLACED]
        assert await house.ids(house.bare) == ["d1499"]

    async def test_an_unknown_collection(self, house: House) -> None:
        with pytest.raises(CollectionNotFound):
            await house.ingestion.delete_refs("no", [], validate_only=False)
        with pytest.raises(CollectionNotFound):
            await house.ingestion.delete_matching("no", "", validate_only=False)

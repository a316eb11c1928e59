"""Another embedder for a collection: pages, barriers, shared work, what stops it and what goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import (
    CollectionNotFound,
    DimensionMismatch,
    EmbedderMismatch,
    InvalidField,
    ModelUnavailable,
    NotConfigured,
    NotReady,
    RagError,
)
from rag_grpc.core.ingestion import Ingestion, IngestItem
from rag_grpc.core.lanes import Lanes
from rag_grpc.core.limits import Limits
from rag_grpc.core.model_ports import Embedder
from rag_grpc.core.models import (
    ChunkDraft,
    Chunking,
    Collection,
    DocumentDraft,
    IngestStatus,
    PutOutcome,
)
from rag_grpc.core.preparation import Workshop
from rag_grpc.core.queries import Query
from rag_grpc.core.reembedding import Progress, Reembedding
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.core.searches import SearchMode
from rag_grpc.stores.memory import MemoryStore
from tests.contracts.fakes import (
    JsonCodec,
    LetterEmbedder,
    LineSplitter,
    Records,
    WordTokenizer,
    found_ids,
    spec,
)


@dataclass
class Gate(LetterEmbedder):
    """Stops at the text "wait" until it is opened, and cannot embed what is "bad" while it is `down`."""

    down: bool = False
    opened: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if any("wait" in text for text in texts):
            self.entered.set()
            assert self.opened.wait(timeout=10)
        if self.down and any("bad" in text for text in texts):
            raise ModelUnavailable("it is down")
        return super().embed(texts)


class House:
    """The use cases over one memory store, with the embedders "old" and "new"."""

    def __init__(self) -> None:
        self.store = MemoryStore(codec=JsonCodec())
        self.old = LetterEmbedder(name="old", fingerprint="old/1", dimension=8)
        self.new = Gate(name="new", fingerprint="new/1", dimension=5)
        self.embedders: dict[str, Embedder] = {"old": self.old, "new": self.new}
        self.lanes = Lanes()
        limits, telemetry, codec = Limits(), Records(), JsonCodec()
        self.embedding = EmbeddingQueue(self.embedders, telemetry)
        self.ingestion = Ingestion(
            store=self.store,
            embedders=self.embedders,
            splitter=LineSplitter(),
            codec=codec,
            limits=limits,
            lanes=self.lanes,
            embedding=self.embedding,
            telemetry=telemetry,
        )
        self.retrieval = Retrieval(
            store=self.store,
            embedders=self.embedders,
            limits=limits,
            embedding=self.embedding,
            telemetry=telemetry,
        )
        self.reembedding = Reembedding(
            store=self.store,
            workshop=Workshop(self.embedders, LineSplitter(), codec, limits),
            lanes=self.lanes,
            embedding=self.embedding,
        )

    @property
    def words(self) -> Collection:
        return self.store.collection("words")

    async def put(self, *drafts: DocumentDraft) -> list[IngestStatus]:
        items = [IngestItem(each) for each in drafts]
        outcomes = await self.ingestion.ingest("words", items)
        for each in outcomes:
            if isinstance(each, RagError):
                raise each
        return [each.status for each in outcomes if isinstance(each, PutOutcome)]

    async def reembed(self, name: str = "words", embedder: str = "new") -> Collection:
        async with self.reembedding.watching(name, embedder) as job:
            return await asyncio.shield(job.task)

    async def close(self) -> None:
        self.new.opened.set()
        await self.embedding.close()
        await self.store.close()


def text(doc_id: str, words: str = "") -> DocumentDraft:
    return DocumentDraft(doc_id, text=words or f"text of {doc_id}", metadata={"is": doc_id})


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    await house.store.open()
    await house.store.create_collection(spec("words", embedder="old", dimension=8), "old/1")
    yield house
    assert house.lanes.idle
    await house.close()


async def entered(gate: Gate) -> None:
    """Wait until the embedder stands at its gate."""
    assert await asyncio.to_thread(gate.entered.wait, 10)


async def barrier_taken(house: House) -> None:
    """Wait until what is written now has to wait."""
    while True:
        probe = house.lanes.ticket(house.words.id, "probe")
        ready = probe.ready
        probe.release()
        if not ready:
            return
        await asyncio.sleep(0)


async def test_every_document_is_found_by_the_new_embedder(house: House) -> None:
    await house.put(*(text(f"d{number}") for number in range(200)))
    after = await house.reembed()
    assert (after.embedder, after.embedder_fingerprint, after.dimension) == ("new", "new/1", 5)
    assert await found_ids(house.store, after, [1.0] * 5) == sorted(f"d{number}" for number in range(200))
    (query,) = house.new.embed_queries(["text of d7"])
    result = await house.retrieval.query(Query("words", text="text of d7", top_k=1, mode=SearchMode.DENSE))
    assert result.hits[0].score == pytest.approx(1, abs=1e-5)
    assert len(query) == 5


async def test_what_comes_meanwhile_does_not_pass_for_done(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.put(text("a"), text("b", "wait"))
    async with house.reembedding.watching("words", "new") as job:
        await entered(house.new)
        assert (job.progress.done, job.progress.total) == (0, 2)
        await house.put(*(text(f"d{number}") for number in range(50)))
        done, embed = [], house.new.embed

        def noted(texts: Sequence[str]) -> NDArray[np.float32]:
            done.append(job.progress.done)
            return embed(texts)

        monkeypatch.setattr(house.new, "embed", noted)
        house.new.opened.set()
        await asyncio.shield(job.task)
        assert done[0] == 2
        assert done == sorted(done)
        assert (job.progress.done, job.progress.total) == (52, 52)


async def test_what_comes_again_is_unchanged(house: House) -> None:
    drafts = [
        text("a", "one line\nanother line"),
        DocumentDraft("b", text="# Head\nunder it", media_type="text/markdown", title="T"),
        DocumentDraft("c", chunks=(ChunkDraft("own", 0, 3), ChunkDraft("chunks"))),
        DocumentDraft("d", text="both", chunks=(ChunkDraft("own of both", 0, 4),)),
    ]
    await house.put(*drafts)
    await house.reembed()
    before = len(house.new.batches)
    assert await house.put(*drafts) == [IngestStatus.UNCHANGED] * 4
    assert len(house.new.batches) == before
    assert await house.put(drafts[0]._replace(metadata={"other": 1.0})) == [IngestStatus.REPLACED]
    assert len(house.new.batches) == before, "another description is no reason to embed"


async def test_vectors_of_the_caller_are_made_anew(house: House) -> None:
    vector = np.arange(1, 9, dtype=np.float32)
    own = DocumentDraft("a", chunks=(ChunkDraft("words", vector=vector),), embedder_fingerprint="old/1")
    await house.put(own)
    await house.reembed()
    with pytest.raises(DimensionMismatch):
        await house.put(own)
    assert await house.put(own._replace(chunks=(ChunkDraft("words"),), embedder_fingerprint="")) == [
        IngestStatus.UNCHANGED
    ]


async def test_a_document_that_would_be_cut_otherwise_now_is_not_unchanged(house: House) -> None:
    draft = DocumentDraft("a", text="# Head\n" + "some words " * 15, media_type="text/markdown")
    await house.put(draft)
    house.new.max_tokens, house.new.tokenizer = 8, WordTokenizer()
    await house.reembed()
    assert house.store.counts(house.words).chunks == 2
    assert await house.put(draft) == [IngestStatus.REPLACED]
    assert house.store.counts(house.words).chunks > 2


async def test_what_is_embedded_stands_under_title_and_headings(house: House) -> None:
    await house.put(DocumentDraft("b", text="# Head\nunder it", media_type="text/markdown", title="T"))
    asked = [each for batch in house.old.batches for each in batch]
    await house.reembed()
    assert [each for batch in house.new.batches for each in batch] == asked
    assert "T\nHead\nunder it" in asked


async def test_a_collection_without_an_embedder_gets_one(house: House) -> None:
    bare = await house.store.create_collection(spec("bare"), "")
    own = DocumentDraft("a", chunks=(ChunkDraft("words", vector=np.ones(4, np.float32)),))
    (outcome,) = await house.ingestion.ingest("bare", [IngestItem(own)])
    assert isinstance(outcome, PutOutcome)
    after = await house.reembed("bare")
    assert (after.id, after.embedder, after.dimension) == (bare.id, "new", 5)
    assert await found_ids(house.store, after, [1.0] * 5) == ["a"]


async def test_the_same_vectors_are_not_made_again(house: House) -> None:
    await house.put(text("a"))
    before = house.words
    assert await house.reembed(embedder="old") == before
    house.embedders["alias"] = LetterEmbedder(name="alias", fingerprint="old/1")
    assert await house.reembed(embedder="alias") == replace(before, embedder="alias")
    assert house.new.batches == []


async def test_a_model_that_changed_under_its_name_is_caught_up_with(house: House) -> None:
    await house.put(text("a"))
    house.old.fingerprint, house.old.dimension = "old/2", 6
    with pytest.raises(EmbedderMismatch):
        await house.retrieval.query(Query("words", text="a", top_k=1, mode=SearchMode.DENSE))
    with pytest.raises(EmbedderMismatch):
        await house.put(text("b"))
    after = await house.reembed(embedder="old")
    assert (after.embedder_fingerprint, after.dimension) == ("old/2", 6)
    assert (await house.retrieval.query(Query("words", text="a", top_k=1, mode=SearchMode.DENSE))).hits


async def test_queries_and_writes_go_on_meanwhile(house: House) -> None:
    await house.put(text("a"), text("b", "wait here"))
    moving = asyncio.create_task(house.reembed())
    await entered(house.new)
    assert await house.put(text("a", "other words"), text("c")) == [
        IngestStatus.REPLACED,
        IngestStatus.CREATED,
    ]
    found = await house.retrieval.query(Query("words", text="text of c", top_k=1, mode=SearchMode.DENSE))
    assert [hit.doc_id for hit in found.hits] == ["c"]
    assert house.words.embedder == "old"
    house.new.opened.set()
    after = await moving
    assert await found_ids(house.store, after, [1.0] * 5) == ["a", "b", "c"]
    (document,) = await house.store.documents(after, ["a"], include_text=True)
    assert document is not None
    assert document.text == "other words"


async def test_writes_that_waited_for_the_swap_are_made_for_the_new_embedder(house: House) -> None:
    own = DocumentDraft(
        "own", chunks=(ChunkDraft("w", vector=np.ones(8, np.float32)),), embedder_fingerprint="old/1"
    )
    await house.put(text("a"))
    held = house.lanes.ticket(house.words.id, "held")
    moving = asyncio.create_task(house.reembed())
    await barrier_taken(house)
    writing = [
        asyncio.create_task(house.put(*(text(f"d{number}") for number in range(9)))),
        asyncio.create_task(house.put(own)),
    ]
    while not any("text of d8" in batch for batch in house.old.batches):  # noqa: ASYNC110 # a thread fills it
        await asyncio.sleep(0)
    # All was embedded for the old one, and waits behind the swap.
    held.release()
    await moving
    embedded, refused = await asyncio.gather(*writing, return_exceptions=True)
    assert embedded == [IngestStatus.CREATED] * 9
    assert isinstance(refused, DimensionMismatch)
    assert len(await found_ids(house.store, house.words, [1.0] * 5)) == 10


async def test_leaving_stops_the_work_and_calling_again_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_grpc.core.reembedding.FIRST_PAGE", 4)
    await house.put(*(text(f"d{number}") for number in range(4)), text("e", "wait here"), text("f"))
    async with house.reembedding.watching("words", "new") as job:
        await entered(house.new)
        assert job.progress == Progress(4, 6)
        house.new.opened.set()
    assert job.task.cancelled() or job.task.done()
    assert house.words.embedder == "old"
    asked = len(house.new.batches)
    await house.reembed()
    again = [each for batch in house.new.batches[asked:] for each in batch]
    assert not any(each.startswith("text of d") for each in again)
    assert house.words.embedder == "new"


async def test_calls_for_one_target_share_the_work(house: House) -> None:
    await house.put(text("a", "wait here"))
    first = asyncio.create_task(house.reembed())
    await entered(house.new)
    second = asyncio.create_task(house.reembed())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    with pytest.raises(NotReady, match="with 'new'"):
        await house.reembed(embedder="old")
    house.new.opened.set()
    assert (await second).embedder == "new"
    assert house.new.batches == [("wait here",)]


async def test_a_model_that_fails_is_named_and_nothing_is_lost(house: House) -> None:
    house.new.down = True
    await house.put(text("a"), text("b", "a bad text"), text("c"))
    with pytest.raises(ModelUnavailable, match="document 'b' cannot be embedded: it is down"):
        await house.reembed()
    assert house.words.embedder == "old"
    house.new.down = False
    asked = len(house.new.batches)
    await house.reembed()
    assert "text of a" not in [each for batch in house.new.batches[asked:] for each in batch]
    assert await found_ids(house.store, house.words, [1.0] * 5) == ["a", "b", "c"]


async def test_writers_who_are_faster_than_the_embedder_do_not_keep_it_for_ever(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_grpc.core.reembedding.FIRST_PAGE", 16)
    monkeypatch.setattr("rag_grpc.core.reembedding.MOST_CHUNKS", 16)
    await house.put(*(text(f"d{number}") for number in range(50)))
    over = asyncio.Event()
    written = 0

    async def write_on() -> None:
        nonlocal written
        while not over.is_set():
            await house.put(*(text(f"w{written + number}") for number in range(40)))
            written += 40

    writing = asyncio.create_task(write_on())
    after = await house.reembed()
    over.set()
    await writing
    assert after.embedder == "new"
    assert len(await found_ids(house.store, after, [1.0] * 5)) == 50 + written


@pytest.mark.parametrize(
    ("name", "embedder", "error"),
    [
        ("words", "none", InvalidField),
        ("words", "missing", NotConfigured),
        ("missing", "new", CollectionNotFound),
        ("counted", "new", NotConfigured),
    ],
)
async def test_what_cannot_be(house: House, name: str, embedder: str, error: type[Exception]) -> None:
    counted = spec("counted", embedder="old", dimension=8, chunking=Chunking(max_tokens=8))
    await house.store.create_collection(counted, "old/1")
    with pytest.raises(error):
        await house.reembed(name, embedder)


async def test_a_collection_that_is_removed_meanwhile_ends_the_work(house: House) -> None:
    await house.put(text("a", "wait here"))
    moving = asyncio.create_task(house.reembed())
    await entered(house.new)
    await house.store.delete_collection(house.words)
    house.new.opened.set()
    with pytest.raises(CollectionNotFound):
        await moving


async def test_a_query_that_the_swap_overtook_is_asked_again(house: House) -> None:
    await house.put(text("a"))
    store: Any = house.store
    search, calls = store.search, 0

    async def search_late(searches: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            await house.reembed()
        return await search(searches)

    store.search = search_late
    result = await house.retrieval.query(Query("words", text="text of a", top_k=1, mode=SearchMode.DENSE))
    assert [hit.doc_id for hit in result.hits] == ["a"]
    assert result.hits[0].score == pytest.approx(1, abs=1e-5)
    assert calls == 2

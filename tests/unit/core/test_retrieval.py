"""Queries and reads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest

from rag_grpc.core import retrieval as module
from rag_grpc.core.analysis import PlainAnalyzer, Token
from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import (
    CollectionNotFound,
    DimensionMismatch,
    EmbedderChanged,
    EmbedderMismatch,
    InvalidField,
    ModelUnavailable,
    NotConfigured,
    RagError,
    StorageFault,
    WordsNotReady,
)
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import Collection
from rag_grpc.core.queries import AlikeQueries, Query, QueryResult, Variety
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.core.searches import HitParts, Search, SearchMode, SearchResult, SearchStrategy
from rag_grpc.stores.memory import MemoryStore
from tests.contracts.fakes import JsonCodec, LetterEmbedder, Records, prepared, put, spec


class CountingStore(MemoryStore):
    """Remembers how many searches came in each call."""

    def __init__(self) -> None:
        super().__init__(codec=JsonCodec())
        self.calls: list[int] = []
        self.without_words = False

    async def search(self, searches: Sequence[Search]) -> list[SearchResult | RagError]:
        self.calls.append(len(searches))
        results = await super().search(searches)
        return [
            WordsNotReady() if self.without_words and search.lexical else result
            for search, result in zip(searches, results, strict=True)
        ]


class House:
    """A retrieval with what it stands on."""

    def __init__(self) -> None:
        self.store = CountingStore()
        self.embedder = LetterEmbedder(max_batch=64)
        self.telemetry = Records()
        embedders = {"letters": self.embedder}
        self.embedding = EmbeddingQueue(embedders, self.telemetry)
        self.retrieval = Retrieval(
            store=self.store,
            embedders=embedders,
            limits=Limits(max_top_k=50),
            embedding=self.embedding,
            telemetry=self.telemetry,
        )
        self.words: Collection
        self.bare: Collection


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    await house.store.open()
    house.words = await house.store.create_collection(
        spec("default", embedder="letters", dimension=8), "letters/1"
    )
    house.bare = await house.store.create_collection(spec("bare"), "")
    for text in ("harbour", "lighthouse", "jackdaw"):
        await put(
            house.store,
            house.words,
            prepared(text, house.embedder.embed([text]), text=text, texts=[text], metadata={"n": 1.0}),
        )
    for place in range(5):
        await put(house.store, house.bare, prepared(f"d{place}", [1, place, 0, 0]))
    house.embedder.batches.clear()
    yield house
    await house.embedding.close()
    await house.store.close()


def vector(*values: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(values, np.float32)


async def test_a_text_finds_what_is_like_it(house: House) -> None:
    result = await house.retrieval.query(Query(text="jackdaw", top_k=2))
    assert result.hits[0].doc_id == "jackdaw"
    assert len(result.hits) == 2
    assert result.hits[0].score == pytest.approx(1, abs=1e-6)
    assert result.strategy is SearchStrategy.EXACT
    assert result.mode is SearchMode.HYBRID
    assert set(result.stages) == {"embed", "dense", "lexical", "fuse", "fetch"}
    assert set(result.stages) <= set(house.telemetry.stages)


async def test_without_an_index_of_words_nearness_answers_who_left_the_choice(house: House) -> None:
    house.store.without_words = True
    result = await house.retrieval.query(Query(text="jackdaw", top_k=2))
    assert result.hits[0].doc_id == "jackdaw"
    assert result.mode is SearchMode.DENSE
    for mode in (SearchMode.HYBRID, SearchMode.LEXICAL):
        with pytest.raises(WordsNotReady):
            await house.retrieval.query(Query(text="jackdaw", mode=mode))
    with pytest.raises(WordsNotReady):
        # There is no other evidence.
        await house.retrieval.query(Query(collection="bare", text="text"))


async def test_a_vector_is_asked_as_it_is(house: House) -> None:
    result = await house.retrieval.query(Query(collection="bare", vector=vector(1, 0, 0, 0), top_k=2))
    assert [hit.doc_id for hit in result.hits] == ["d0", "d1"]
    assert "embed" not in result.stages
    assert house.embedder.batches == []


async def test_a_vector_beside_a_text_takes_the_place_of_its_embedding(house: House) -> None:
    asked = house.embedder.embed(["harbour"])[0]
    house.embedder.batches.clear()
    query = Query(text="jackdaw", vector=asked, top_k=1, mode=SearchMode.DENSE)
    assert [hit.doc_id for hit in (await house.retrieval.query(query)).hits] == ["harbour"]
    (hit,) = (await house.retrieval.query(query._replace(mode=None))).hits
    assert (hit.doc_id, hit.lexical_rank) == ("jackdaw", 1)
    assert house.embedder.batches == []


async def test_pages_bounds_and_parts_are_handed_on(house: House) -> None:
    query = Query(collection="bare", vector=vector(1, 0, 0, 0), top_k=2, offset=1)
    hits = (await house.retrieval.query(query)).hits
    assert [(hit.doc_id, hit.dense_rank) for hit in hits] == [("d1", 2), ("d2", 3)]
    bounded = Query(collection="bare", vector=vector(1, 0, 0, 0), min_score=0.7)
    assert [hit.doc_id for hit in (await house.retrieval.query(bounded)).hits] == ["d0", "d1"]
    lean = Query(text="harbour", top_k=1, parts=HitParts(text=False, metadata=False, vectors=True))
    (hit,) = (await house.retrieval.query(lean)).hits
    assert (hit.chunk.text, hit.packed_metadata) == ("", None)
    assert hit.chunk.vector is not None


@pytest.mark.parametrize(
    ("query", "error", "field"),
    [
        (Query(collection="missing", text="a"), CollectionNotFound, None),
        (Query(), InvalidField, "query"),
        (Query(collection="bare", text="a", mode=SearchMode.DENSE), InvalidField, "vector"),
        (Query(collection="bare", vector=vector(1, 2, 3)), DimensionMismatch, "vector"),
        (Query(collection="bare", vector=vector(0, 0, 0, 0)), InvalidField, "vector"),
        (Query(collection="bare", vector=vector(1, np.nan, 0, 0)), InvalidField, "vector"),
        (Query(text="a", top_k=41, offset=10), InvalidField, "offset"),
    ],
)
async def test_a_bad_query_is_refused(
    house: House, query: Query, error: type[RagError], field: str | None
) -> None:
    with pytest.raises(error) as caught:
        await house.retrieval.query(query)
    if field is not None:
        assert [each.field for each in caught.value.violations] == [field]
    assert house.store.calls == []


async def test_another_embedder_than_the_collection_s_is_a_mismatch(house: House) -> None:
    old = await house.store.create_collection(spec("old", embedder="letters", dimension=8), "letters/0")
    await house.store.create_collection(spec("other", embedder="other", dimension=8), "other/1")
    with pytest.raises(EmbedderMismatch) as caught:
        await house.retrieval.query(Query(collection="old", text="a"))
    assert caught.value.metadata == {"stored": "letters/0", "configured": "letters/1"}
    with pytest.raises(NotConfigured):
        await house.retrieval.query(Query(collection="other", text="a"))
    # By vector the embedder does not matter.
    await put(house.store, old, prepared("a", np.ones(8)))
    result = await house.retrieval.query(Query(collection="old", vector=np.ones(8, np.float32)))
    assert [hit.doc_id for hit in result.hits] == ["a"]


async def test_queries_of_a_batch_are_answered_each_by_itself(house: House) -> None:
    handed_in = NotConfigured("highlight comes later")
    results = await house.retrieval.query_batch(
        [
            Query(text="jackdaw", top_k=1),
            handed_in,
            Query(collection="bare", vector=vector(1, 4, 0, 0), top_k=1),
            Query(collection="missing", text="a"),
            Query(text="harbour", top_k=1),
        ]
    )
    assert [type(each) for each in results] == [
        QueryResult,
        NotConfigured,
        QueryResult,
        CollectionNotFound,
        QueryResult,
    ]
    assert results[1] is handed_in
    found = [each.hits[0].doc_id for each in results if isinstance(each, QueryResult)]
    assert found == ["jackdaw", "d4", "harbour"]
    assert house.embedder.batches == [("jackdaw", "harbour")]
    assert house.store.calls == [3]


async def test_a_text_that_cannot_be_embedded_fails_alone(house: House) -> None:
    class Touchy(LetterEmbedder):
        def embed(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
            if "bad" in texts:
                raise ModelUnavailable("no")
            return super().embed(texts)

    embedding = EmbeddingQueue({"letters": Touchy()}, house.telemetry)
    retrieval = Retrieval(
        store=house.store,
        embedders={"letters": Touchy()},
        limits=Limits(),
        embedding=embedding,
        telemetry=house.telemetry,
    )
    results = await retrieval.query_batch([Query(text="harbour"), Query(text="bad"), Query(text="jackdaw")])
    assert isinstance(results[1], ModelUnavailable)
    assert [each.hits[0].doc_id for each in results if isinstance(each, QueryResult)] == [
        "harbour",
        "jackdaw",
    ]
    await embedding.close()


ALIKE: dict[str, dict[str, Any]] = {
    "nearness alone": {},
    "a page": {"top_k": 2, "offset": 1, "min_score": 0.2},
    "without texts": {"parts": HitParts(text=False, title=False, metadata=False)},
    "every vector": {"exact": True},
    "a filter": {"filter": 'doc_id != "d1"'},
    "variety": {"rerank": Variety(0.7)},
    "words too": {"text": "d1"},
    "one a document": {"max_hits_per_document": 1},
    "no such collection": {"collection": "missing"},
    "another dimension": {"collection": "default"},
    "too many": {"top_k": 51},
}


@pytest.mark.parametrize("changes", ALIKE.values(), ids=list(ALIKE))
@pytest.mark.parametrize("last", [(0, 0, 1, 0), (0, 0, 0, 0)], ids=["", "one is zero"])
async def test_alike_queries_are_answered_as_each_would_be(
    house: House, changes: dict[str, Any], last: tuple[float, ...]
) -> None:
    vectors = np.array([(1, 0, 0, 0), (1, 3, 0, 0), last], np.float32)
    first = Query(**{"collection": "bare", "vector": vectors[0]} | changes)
    alike = AlikeQueries(first, vectors)

    def described(result: QueryResult | RagError) -> object:
        if isinstance(result, RagError):
            return type(result), result.message
        return result._replace(stages={}, hits=list(result.hits)), sorted(result.stages)

    async def asked(query: Query) -> QueryResult | RagError:
        try:
            return await house.retrieval.query(query)
        except RagError as error:
            return error

    step_by_step = [described((await house.retrieval.query_batch([query]))[0]) for query in alike]
    assert [described(each) for each in await house.retrieval.query_batch(alike)] == step_by_step
    assert [described(await asked(query)) for query in alike] == step_by_step


async def test_alike_queries_are_asked_as_one(house: House) -> None:
    vectors = np.eye(4, dtype=np.float32)
    house.telemetry.stages.clear()
    alike = AlikeQueries(Query(collection="bare", vector=vectors[0]), vectors)
    results = await house.retrieval.query_batch(alike)
    assert all(isinstance(each, QueryResult) for each in results)
    assert house.store.calls == [4]
    assert house.telemetry.stages


@pytest.fixture
def embedder_changes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the first search find that the embedder changed since the collection was looked at."""
    search, failures = house.store.search, [EmbedderChanged("bare")]

    async def changed(searches: Sequence[Search]) -> list[SearchResult | RagError]:
        results = await search(searches)
        return [failures.pop() if failures else each for each in results]

    monkeypatch.setattr(house.store, "search", changed)


@pytest.mark.usefixtures("embedder_changes")
async def test_alike_queries_are_asked_again_where_the_embedder_changed_meanwhile(house: House) -> None:
    vectors = np.eye(4, dtype=np.float32)
    alike = AlikeQueries(Query(collection="bare", vector=vectors[0]), vectors)
    results = await house.retrieval.query_batch(alike)
    assert all(isinstance(each, QueryResult) for each in results)


@pytest.mark.usefixtures("embedder_changes")
async def test_a_plain_query_is_asked_again_where_the_embedder_changed_meanwhile(house: House) -> None:
    query = Query(collection="bare", vector=np.eye(4, dtype=np.float32)[0])
    assert isinstance(await house.retrieval.query(query), QueryResult)
    assert house.store.calls == [1, 1]


async def test_a_plain_query_raises_what_the_store_answers(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failed(searches: Sequence[Search]) -> list[SearchResult | RagError]:
        return [StorageFault("the disk") for _ in searches]

    monkeypatch.setattr(house.store, "search", failed)
    with pytest.raises(StorageFault, match="the disk"):
        await house.retrieval.query(Query(collection="bare", vector=np.eye(4, dtype=np.float32)[0]))


async def test_an_empty_batch_asks_nobody(house: House) -> None:
    assert await house.retrieval.query_batch([]) == []
    assert house.store.calls == []


async def test_other_calls_have_their_turns_while_a_batch_is_planned(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLANNING_SECONDS", -1.0)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others_task = asyncio.ensure_future(others())
    failing = [Query(collection="nowhere", text="jackdaw")] * 40
    assert all(isinstance(each, RagError) for each in await house.retrieval.query_batch(failing))
    others_task.cancel()
    assert turns >= len(failing)


class GatedAnalyzer(PlainAnalyzer):
    """Lets the test hold up one text."""

    def __init__(self) -> None:
        self.texts = 0
        self.begun = threading.Event()
        self.gate = threading.Event()

    def tokens(self, text: str, language: str) -> list[Token]:
        self.texts += 1
        self.begun.set()
        if not self.gate.wait(10):
            raise TimeoutError
        return super().tokens(text, language)


async def test_marking_ends_soon_when_nobody_waits_for_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MARKED_AT_ONCE", 1)
    analyzer = GatedAnalyzer()
    retrieval = Retrieval(
        store=house.store,
        embedders={"letters": house.embedder},
        limits=Limits(),
        embedding=house.embedding,
        telemetry=house.telemetry,
        analyzer=analyzer,
    )
    query = Query(text="jackdaw", mode=SearchMode.DENSE, highlight=True)
    call = asyncio.ensure_future(retrieval.query(query))
    await asyncio.to_thread(analyzer.begun.wait, 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    analyzer.gate.set()
    # Three texts were found; what was begun is all that was looked at.
    await asyncio.get_running_loop().shutdown_default_executor()
    assert analyzer.texts == 1

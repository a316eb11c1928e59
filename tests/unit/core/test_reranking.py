"""Re-ranking by models: turns, batches, and what is done with their scores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_grpc.core.errors import ModelUnavailable, NotConfigured, NotReady
from rag_grpc.core.models import Chunk
from rag_grpc.core.reranking import BATCH_TEXTS, Reranking, reranked
from rag_grpc.core.searches import Hit
from tests.contracts.fakes import Records, WordReranker


class GatedReranker(WordReranker):
    """Works only while its gate is open, and says when it has begun."""

    def __init__(self) -> None:
        super().__init__("gated")
        self.gate = threading.Event()
        self.begun = threading.Event()

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        self.begun.set()
        assert self.gate.wait(10)
        return super().score(query, texts)


class BrokenReranker(WordReranker):
    """Fails in a way of its own for each query."""

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        match query:
            case "down":
                raise ModelUnavailable("it is away")
            case "bug":
                raise KeyError(query)
            case "short":
                return super().score(query, texts)[1:]
            case "nan":
                return np.full(len(texts), np.nan, np.float32)
            case _:
                return super().score(query, texts)


@pytest.fixture
def gated() -> GatedReranker:
    return GatedReranker()


@pytest.fixture
async def reranking(gated: GatedReranker) -> AsyncIterator[Reranking]:
    made = Reranking({"words": WordReranker(), "gated": gated, "broken": BrokenReranker("broken")}, Records())
    yield made
    gated.gate.set()
    await made.close()


async def test_texts_are_scored_in_batches_in_their_order(reranking: Reranking) -> None:
    texts = [f"harbour {number} " + "word " * (number % 5) for number in range(2 * BATCH_TEXTS + 3)]
    expected = WordReranker().score("harbour word", texts)
    np.testing.assert_array_equal(await reranking.score("words", "harbour word", texts), expected)
    np.testing.assert_array_equal(await reranking.score("", "harbour word", texts), expected)
    assert (await reranking.score("words", "q", [])).shape == (0,)


async def test_queries_take_turns_and_one_that_left_is_not_read(
    reranking: Reranking, gated: GatedReranker
) -> None:
    texts = ["text"] * (3 * BATCH_TEXTS)
    first = asyncio.create_task(reranking.score("gated", "first", texts))
    second = asyncio.create_task(reranking.score("gated", "second", texts))
    third = asyncio.create_task(reranking.score("gated", "third", texts))
    assert await asyncio.to_thread(gated.begun.wait, 10)
    first.cancel()
    second.cancel()
    gated.gate.set()
    assert (await third).shape == (len(texts),)
    queries = [query for query, _ in gated.asked]
    assert queries == ["first", "third", "third", "third"]
    assert {len(texts) for _, texts in gated.asked} == {BATCH_TEXTS}


async def test_other_models_do_not_wait(reranking: Reranking, gated: GatedReranker) -> None:
    waiting = asyncio.create_task(reranking.score("gated", "q", ["text"]))
    assert (await reranking.score("words", "q", ["text"])).shape == (1,)
    assert not waiting.done()
    gated.gate.set()
    await waiting


@pytest.mark.parametrize("query", ["down", "bug", "short", "nan"])
async def test_a_model_that_fails_is_unavailable_and_the_next_query_works(
    reranking: Reranking, query: str
) -> None:
    with pytest.raises(ModelUnavailable):
        await reranking.score("broken", query, ["one", "two"])
    assert np.isfinite(await reranking.score("broken", "fine", ["one", "two"])).all()


async def test_a_model_that_is_not_there_is_not_configured(reranking: Reranking) -> None:
    with pytest.raises(NotConfigured, match=r"no cross-encoder 'other'; it has: words, gated, broken"):
        reranking.named("other")
    assert (reranking.named(""), reranking.named("gated")) == ("words", "gated")
    none = Reranking({}, Records())
    for name in ("", "words"):
        with pytest.raises(NotConfigured, match="no cross-encoder to re-rank with"):
            none.named(name)


async def test_after_closing_nothing_is_scored(gated: GatedReranker) -> None:
    reranking = Reranking({"gated": gated}, Records())
    reading = asyncio.create_task(reranking.score("gated", "q", ["text"]))
    waiting = asyncio.create_task(reranking.score("gated", "q", ["text"]))
    assert await asyncio.to_thread(gated.begun.wait, 10)
    closing = asyncio.create_task(reranking.close())
    gated.gate.set()
    await closing
    assert (await reading).shape == (1,)
    with pytest.raises(NotReady):
        await waiting


def hit(doc_id: str, score: float) -> Hit:
    return Hit(doc_id, Chunk(0, "text", None, None), "", None, score, dense=score, dense_rank=1)


HITS = [hit("a", 0.9), hit("a", 0.8), hit("b", 0.7), hit("a", 0.6), hit("c", 0.5)]
SCORES = np.array([-2, 3, 3, 5, 0], np.float32)


def test_new_scores_make_the_order_and_ties_keep_theirs() -> None:
    hits = reranked(HITS, SCORES, top_k=10)
    assert [(each.doc_id, each.score, each.rerank) for each in hits] == [
        ("a", 5, 5),
        ("a", 3, 3),
        ("b", 3, 3),
        ("c", 0, 0),
        ("a", -2, -2),
    ]
    assert [each.dense for each in hits] == [0.6, 0.8, 0.7, 0.5, 0.9]


def test_caps_bounds_and_pages_come_after_it() -> None:
    assert [each.doc_id for each in reranked(HITS, SCORES, top_k=10, cap=1)] == ["a", "b", "c"]
    assert [each.score for each in reranked(HITS, SCORES, top_k=10, min_score=0.0)] == [5, 3, 3, 0]
    pages = [reranked(HITS, SCORES, top_k=2, offset=offset, cap=2) for offset in (0, 2, 4)]
    assert sum(pages, []) == reranked(HITS, SCORES, top_k=10, cap=2)  # noqa: RUF017 # three short lists

"""Batches over all calls in flight: who goes first, who shares, who fails alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import ModelUnavailable, NotConfigured, NotReady
from tests.contracts.fakes import LetterEmbedder, Records


@dataclass
class GatedEmbedder(LetterEmbedder):
    """Waits at a gate before each batch, so that tests say what gathers meanwhile."""

    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.entered.release()
        assert self.gate.acquire(timeout=10)
        return super().embed(texts)

    def open(self, batches: int = 1000) -> None:
        self.gate.release(batches)

    async def busy(self) -> None:
        assert await asyncio.to_thread(self.entered.acquire, timeout=10)


@dataclass
class TouchyEmbedder(LetterEmbedder):
    """Fails every batch that holds a bad text."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = super().embed(texts)
        for place, text in enumerate(texts):
            match text:
                case "down":
                    raise ModelUnavailable("the model is down")
                case "bug":
                    raise ValueError("secret detail")
                case "nan":
                    vectors[place, 0] = np.nan
                case "zero":
                    vectors[place] = 0
                case "short":
                    return vectors[:-1]
                case "wide":
                    return np.ones((len(texts), 99), np.float32)
        return vectors


@pytest.fixture
def telemetry() -> Records:
    return Records()


@pytest.fixture
def gated() -> GatedEmbedder:
    return GatedEmbedder()


@pytest.fixture
async def queue(gated: GatedEmbedder, telemetry: Records) -> AsyncIterator[EmbeddingQueue]:
    touchy = TouchyEmbedder(name="touchy", max_batch=100)
    queue = EmbeddingQueue({"letters": gated, "touchy": touchy}, telemetry)
    yield queue
    gated.open()
    await queue.close()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_each_caller_gets_its_own_rows(queue: EmbeddingQueue, gated: GatedEmbedder) -> None:
    gated.open()
    calls = [[f"text {n}", "b" * n] for n in range(7)] + [["x"] * 9, []]
    results = await asyncio.gather(*(queue.embed("letters", texts) for texts in calls))
    for texts, vectors in zip(calls, results, strict=True):
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(texts), 8)
        np.testing.assert_array_equal(vectors, LetterEmbedder().embed(texts))


async def test_a_lone_text_waits_for_nobody(
    queue: EmbeddingQueue, gated: GatedEmbedder, telemetry: Records
) -> None:
    gated.open()
    await queue.embed("letters", ["a"])
    assert gated.batches == [("a",)]
    assert telemetry.batches == [("embed", 1)]
    assert telemetry.stages == ["embed"]


async def test_what_gathers_meanwhile_shares_a_batch(queue: EmbeddingQueue, gated: GatedEmbedder) -> None:
    first = asyncio.create_task(queue.embed("letters", ["first"]))
    await gated.busy()
    rest = [asyncio.create_task(queue.embed("letters", [f"r{n}"])) for n in range(6)]
    await settle()
    gated.open()
    await asyncio.gather(first, *rest)
    assert gated.batches == [("first",), ("r0", "r1", "r2", "r3"), ("r4", "r5")]


async def test_calls_of_one_turn_share_a_batch_from_the_start(
    queue: EmbeddingQueue, gated: GatedEmbedder
) -> None:
    gated.open()
    await asyncio.gather(queue.embed("letters", ["a"]), queue.embed("letters", ["b"], query=True))
    assert sorted(gated.batches) == [("a",), ("b",)]
    gated.batches.clear()
    await asyncio.gather(*(queue.embed("letters", [each]) for each in "abc"))
    assert gated.batches == [("a", "b", "c")]


async def test_a_query_does_not_wait_for_documents(queue: EmbeddingQueue, gated: GatedEmbedder) -> None:
    documents = asyncio.create_task(queue.embed("letters", [f"d{n}" for n in range(8)]))
    await gated.busy()
    query = asyncio.create_task(queue.embed("letters", ["q"], query=True))
    await gated.busy()
    # Both are under way; which of them the gate lets through first is left open.
    gated.open()
    await asyncio.gather(documents, query)
    assert sorted(gated.batches) == [("d0", "d1", "d2", "d3"), ("d4", "d5", "d6", "d7"), ("q",)]


async def test_documents_do_not_starve(queue: EmbeddingQueue, gated: GatedEmbedder) -> None:
    queries = [asyncio.create_task(queue.embed("letters", [f"q{n}"], query=True)) for n in range(80)]
    await gated.busy()
    document = asyncio.create_task(queue.embed("letters", ["d"]))
    await gated.busy()
    # Opened for ten at once, the gate may let ten batches of queries through, one on the heels of the other.
    # One at a time it lets through who waits longest. Half of the twenty batches of queries may pass.
    for _ in range(10):
        gated.open(1)
        await asyncio.wait([document], timeout=0.1)
        if document.done():
            break
    assert (await document).shape == (1, 8)
    assert not all(query.done() for query in queries)
    gated.open()
    await asyncio.gather(*queries)


async def test_a_slow_embedder_holds_up_no_other(queue: EmbeddingQueue, gated: GatedEmbedder) -> None:
    slow = [asyncio.create_task(queue.embed("letters", ["a"], query=query)) for query in (True, False)]
    await gated.busy()
    await gated.busy()
    for query in (True, False):
        assert (await queue.embed("touchy", ["a"], query=query)).shape == (1, 8)
    assert not any(each.done() for each in slow)


async def test_queries_are_embedded_as_queries(telemetry: Records) -> None:
    class Prefixing(LetterEmbedder):
        def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return self.embed([f"query: {text}" for text in texts])

    prefixing = Prefixing()
    queue = EmbeddingQueue({"letters": prefixing}, telemetry)
    await queue.embed("letters", ["a"], query=True)
    await queue.embed("letters", ["a"])
    assert prefixing.batches == [("query: a",), ("a",)]
    await queue.close()


async def test_a_withdrawn_text_is_not_embedded(queue: EmbeddingQueue, gated: GatedEmbedder) -> None:
    first = asyncio.create_task(queue.embed("letters", ["first"]))
    await gated.busy()
    dropped = asyncio.create_task(queue.embed("letters", ["dropped"]))
    kept = asyncio.create_task(queue.embed("letters", ["kept"]))
    await settle()
    dropped.cancel()
    first.cancel()
    await settle()
    gated.open()
    await kept
    assert gated.batches == [("first",), ("kept",)]


@pytest.mark.parametrize("bad", ["down", "bug", "nan", "zero", "short", "wide"])
async def test_a_bad_text_fails_alone(queue: EmbeddingQueue, bad: str) -> None:
    results = await asyncio.gather(
        *(queue.embed("touchy", [each], query=True) for each in ("a", bad, "b")), return_exceptions=True
    )
    error = results.pop(1)
    assert isinstance(error, ModelUnavailable)
    assert "secret" not in error.message
    for text, vectors in zip("ab", results, strict=True):
        assert not isinstance(vectors, BaseException)
        np.testing.assert_array_equal(vectors, LetterEmbedder().embed([text]))


async def test_a_call_with_a_bad_text_fails_whole(queue: EmbeddingQueue) -> None:
    with pytest.raises(ModelUnavailable):
        await queue.embed("touchy", ["a", "nan", "b"])
    assert (await queue.embed("touchy", ["a"])).shape == (1, 8)


async def test_a_model_that_is_down_is_not_asked_for_every_text(telemetry: Records) -> None:
    touchy = TouchyEmbedder(name="touchy", max_batch=100)
    queue = EmbeddingQueue({"touchy": touchy}, telemetry)
    calls = [queue.embed("touchy", ["down"]) for _ in range(50)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, ModelUnavailable) for each in results)
    assert len(touchy.batches) == 4
    await queue.close()


async def test_a_model_that_answers_for_no_text_is_asked_once(telemetry: Records) -> None:
    @dataclass
    class Away(LetterEmbedder):
        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            super().embed(texts)
            raise ModelUnavailable("turned away", retry_after=3.0)

    away = Away(max_batch=100)
    queue = EmbeddingQueue({"letters": away}, telemetry)
    results = await asyncio.gather(
        *(queue.embed("letters", [each]) for each in "abc"), return_exceptions=True
    )
    assert [getattr(each, "retry_after", None) for each in results] == [3.0, 3.0, 3.0]
    assert away.batches == [("a", "b", "c")]
    await queue.close()


async def test_an_unknown_embedder_is_not_configured(queue: EmbeddingQueue) -> None:
    with pytest.raises(NotConfigured, match=r"letters, touchy"):
        await queue.embed("other", ["a"])


async def test_closing_finishes_what_is_embedded_and_refuses_the_rest(
    queue: EmbeddingQueue, gated: GatedEmbedder
) -> None:
    first = asyncio.create_task(queue.embed("letters", ["first"]))
    await gated.busy()
    waiting = asyncio.create_task(queue.embed("letters", ["waiting"]))
    await settle()
    closing = asyncio.create_task(queue.close())
    await settle()
    gated.open()
    await closing
    assert (await first).shape == (1, 8)
    with pytest.raises(NotReady):
        await waiting
    with pytest.raises(NotReady):
        await queue.embed("letters", ["late"])
    assert gated.batches == [("first",)]

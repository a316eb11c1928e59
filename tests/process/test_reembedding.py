"""A collection gets another embedder under load, and the server is killed three times on the way.

Queries are checked hit by hit: all scores of an answer are those of one model, and once the new one has
answered, the old one never does again. Writers keep ledgers of what was answered, as in test_kills.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from rag_grpc.embedders.mock import MockEmbedder
from ragapi.v1 import collection_service_pb2 as collections
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.collection_service_pb2_grpc import CollectionServiceStub
from ragapi.v1.retrieval_service_pb2_grpc import RetrievalServiceStub
from tests.contracts.embeddings_server import embeddings_server
from tests.process.child import Child
from tests.process.inspection import Inspection
from tests.process.ledger import WORDS, Ledger
from tests.process.writers import call_on, put_all, stream_on, until_it_dies

Start = Callable[..., Child]
Rows = NDArray[np.float32]

MOVING = "moving"
DIMENSION = 48
BATCH = 8
SECONDS_A_BATCH = 0.1
KILLS = 3
_TURN = np.random.default_rng(7).normal(size=(384, DIMENSION)).astype(np.float32)


def near_vectors(texts: Sequence[str]) -> Rows:
    """What the embedder before makes of texts, normalised."""
    return MockEmbedder().embed(texts)


def far_vectors(texts: Sequence[str]) -> Rows:
    """What the embedder after makes of texts, normalised: another length, and other neighbours."""
    rows = np.abs(near_vectors(texts) @ _TURN) ** 2
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def slowly(handler: Any, body: dict[str, Any]) -> None:
    """Answer as a model does that takes its time."""
    time.sleep(SECONDS_A_BATCH)
    data = [
        {"object": "embedding", "index": place, "embedding": [float(each) for each in row]}
        for place, row in enumerate(far_vectors(body["input"]))
    ]
    answer = {"object": "list", "data": data, "model": "far", "usage": {"total_tokens": 1}}
    handler.answer(200, json.dumps(answer))


@dataclass
class Watch:
    """What those who ask saw."""

    answers: int = 0
    by: set[str] = field(default_factory=set)
    done: int = 0
    total: int = 0
    moved: collections.Collection | None = None

    def check(self, query: str, hits: Sequence[Any]) -> None:
        """All scores of an answer are those of one model, and of the right one."""
        texts = [query, *(hit.chunk.text for hit in hits)]
        models = []
        for name, rows in (("near", near_vectors(texts)), ("far", far_vectors(texts))):
            scores = rows[1:] @ rows[0]
            if np.allclose(scores, [hit.score for hit in hits], atol=1e-4):
                models.append(name)
        assert models, (query, [(hit.chunk.text, hit.score) for hit in hits])
        if len(models) == 1:
            assert not (models == ["near"] and "far" in self.by), "the old model answered after the new one"
            self.by.add(models[0])
        self.answers += 1


class Move:
    """The collection, those who write to it and ask it, and the servers that come and go."""

    def __init__(self, start: Start, url: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.base, self.called, self.streamed = (
            Ledger(name, size, random.Random(self.random.random()))
            for name, size in (("base", 200), ("c", 40), ("s", 40))
        )
        self.watch = Watch()
        self.kills = KILLS
        self._start = start
        self._embedders = f"mock,far=openai:far?base_url={url}&dimension={DIMENSION}&max_batch={BATCH}"

    def server(self) -> Child:
        return self._start(embedders=self._embedders, graph_from="64", snapshot_after="200ms").ready()

    async def fill(self, channel: grpc.aio.Channel) -> None:
        wanted = collections.Collection(
            name=MOVING, embedder="mock", chunking=collections.Chunking(without_context=True)
        )
        await CollectionServiceStub(channel).CreateCollection(
            collections.CreateCollectionRequest(collection=wanted)
        )
        await put_all(channel, MOVING, self.base)

    async def check(self, channel: grpc.aio.Channel) -> None:
        await Inspection(channel, MOVING, self.random).settle([self.base, self.called, self.streamed])

    async def under_load(self, channel: grpc.aio.Channel, end: Callable[[], None]) -> None:
        """Write, ask and move; `end`, called when that went on for a while or is done, ends the server."""
        # A stream that a draining server ends is INTERNAL to grpc.aio's client where that was just writing.
        stream = stream_on if self.kills else call_on
        others = [
            asyncio.create_task(until_it_dies(work))
            for work in (
                call_on(channel, MOVING, self.called),
                stream(channel, MOVING, self.streamed),
                self._ask(channel),
                self._ask(channel),
            )
        ]

        def ended() -> None:
            assert not any(each.done() for each in others), "somebody failed while the server lived"
            end()

        await until_it_dies(self._move(channel, ended))
        if self.watch.moved is not None:
            ended()
        await asyncio.gather(*others)

    async def _move(self, channel: grpc.aio.Channel, end: Callable[[], None]) -> None:
        kept, first = self.watch.done, True
        request = collections.ReembedCollectionRequest(name=MOVING, embedder="far")
        async for progress in CollectionServiceStub(channel).ReembedCollection(request):
            if first and not progress.HasField("collection"):
                # Some of what was done before was replaced or deleted since.
                assert progress.done >= kept / 2, (progress, kept)
                first = False
            assert progress.done <= progress.total
            self.watch.done, self.watch.total = progress.done, progress.total
            if progress.HasField("collection"):
                self.watch.moved = progress.collection
            elif progress.done > kept + progress.total / (KILLS + 2) and self.kills:
                self.kills -= 1
                end()

    async def _ask(self, channel: grpc.aio.Channel) -> None:
        while True:
            await self.ask_once(channel)
            await asyncio.sleep(0.005)

    async def ask_once(self, channel: grpc.aio.Channel) -> None:
        """Ask, and look which model has answered."""
        query = " ".join(self.random.choices(WORDS, k=3))
        request = retrieval.QueryRequest(
            collection=MOVING,
            query=query,
            mode=retrieval.SEARCH_MODE_DENSE,
            exact=self.random.random() < 0.5,
            top_k=5,
        )
        answer = await RetrievalServiceStub(channel).Query(request)
        assert len(answer.results) == 5
        self.watch.check(query, answer.results)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_three_kills_under_load_lose_nothing_and_mix_nothing(start: Start) -> None:
    with embeddings_server() as far:
        far.orders = deque([slowly] * 1_000_000)
        move = Move(start, far.url, seed=3)
        child = move.server()
        async with grpc.aio.insecure_channel(child.grpc_address) as channel:
            await move.fill(channel)
        for _ in range(KILLS):
            async with grpc.aio.insecure_channel(child.grpc_address) as channel:
                await move.under_load(channel, child.process.kill)
            assert move.watch.moved is None, "it was done before it was killed"
            await asyncio.to_thread(child.kill)
            wrong = [each for each in child.events if each["level"] in ("error", "critical")]
            assert not wrong, wrong
            child = await asyncio.to_thread(move.server)
            async with grpc.aio.insecure_channel(child.grpc_address) as channel:
                await move.check(channel)
        assert move.watch.by == {"near"}
        async with grpc.aio.insecure_channel(child.grpc_address) as channel:
            await move.under_load(channel, lambda: child.tell(signal.SIGTERM))
        _check_work(move, far.asked)
        child.check_clean(await asyncio.to_thread(child.wait))
        last = await asyncio.to_thread(move.server)
        async with grpc.aio.insecure_channel(last.grpc_address) as channel:
            await _check_moved(move, channel)
        assert "snapshot_refused" not in {each["event"] for each in last.events}
        last.stop()


def _check_work(move: Move, asked: Sequence[Sequence[str]]) -> None:
    """What nobody replaced was embedded once, save for the pages that a kill interrupted."""
    base = {text for version in move.base.answered.values() if version for text in version.chunks}
    again = sum(text in base for texts in asked for text in texts) - len(base)
    assert 0 <= again < len(base) / 2, (again, len(base))


async def _check_moved(move: Move, channel: grpc.aio.Channel) -> None:
    moved = move.watch.moved
    assert moved is not None
    assert (moved.embedder, moved.dimension) == ("far", DIMENSION)
    await move.check(channel)
    move.watch.by.clear()
    for _ in range(20):
        await move.ask_once(channel)
    assert move.watch.by == {"far"}

"""Embedding in batches over all calls in flight, without ever waiting for a batch to fill.

A model takes many texts at little more than the cost of one. While it works, texts
gather; when it is done, it takes what is there, up to its `max_batch`. So a lone text
waits for nothing, and a busy server makes large batches by itself.

Every embedder has two lines, each with a thread: one for queries, since somebody waits
for them, and one for documents. A batch of documents may take a second, and a query
that comes meanwhile is embedded beside it, not after it. What a slow endpoint holds up
is nothing but its own lines.

A batch that fails is tried again text by text, so that one bad text fails alone; but not
where the model says, by `retry_after`, that it would not have answered for any text.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.embedder_choice import embedder_named
from rag_grpc.core.errors import ModelUnavailable, NotReady, RagError
from rag_grpc.core.model_ports import Embedder
from rag_grpc.core.ports import Telemetry

_FAILURES_IN_A_ROW = 3
"""Texts of a failed batch that are tried alone before a model that answers none counts as down."""


class _Request:
    """Texts of one call, and their vectors so far."""

    __slots__ = ("begun", "future", "missing", "texts", "vectors")

    def __init__(
        self, texts: Sequence[str], dimension: int, future: asyncio.Future[NDArray[np.float32]]
    ) -> None:
        self.texts = texts
        self.vectors = np.empty((len(texts), dimension), np.float32)
        self.begun = 0
        self.missing = len(texts)
        self.future = future


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some texts of a request, as part of a batch."""

    request: _Request
    begin: int
    end: int

    def deliver(self, vectors: NDArray[np.float32], failures: Sequence[RagError | None]) -> None:
        """Take the vectors and failures of this piece; resolve the request where that was the last."""
        request = self.request
        if request.future.done():
            return
        failure = next(filter(None, failures), None)
        if failure is not None:
            request.future.set_exception(failure)
            return
        request.vectors[self.begin : self.end] = vectors
        request.missing -= self.end - self.begin
        if request.missing == 0:
            request.future.set_result(request.vectors)


class _Line:
    """What waits for one embedder, queries or documents. It holds a task only while there is something."""

    def __init__(self, embedder: Embedder, telemetry: Telemetry, *, query: bool) -> None:
        self._embedder = embedder
        self._telemetry = telemetry
        self._query = query
        self._waiting: deque[_Request] = deque()
        self._task: asyncio.Task[None] | None = None
        # Its thread begins with the first text.
        self._pool = ThreadPoolExecutor(
            1, thread_name_prefix=f"embed-{embedder.name}-{'queries' if query else 'documents'}"
        )

    def add(self, request: _Request) -> None:
        self._waiting.append(request)
        if self._task is None or self._task.done():
            # The task begins in the next turn of the loop, so what comes in this one shares a batch.
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        for request in self._waiting:
            if not request.future.done():
                request.future.set_exception(NotReady("the server is stopping"))
        if self._task is not None:
            await self._task
        self._pool.shutdown()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while pieces := self._take():
            texts = [text for each in pieces for text in each.request.texts[each.begin : each.end]]
            begin = time.perf_counter()
            vectors, failures = await loop.run_in_executor(
                self._pool, embed_each, self._embedder, texts, self._query
            )
            self._telemetry.stage("embed", time.perf_counter() - begin)
            self._telemetry.batch("embed", len(texts))
            place = 0
            for piece in pieces:
                end = place + piece.end - piece.begin
                piece.deliver(vectors[place:end], failures[place:end])
                place = end

    def _take(self) -> list[_Piece]:
        pieces: list[_Piece] = []
        room = self._embedder.max_batch
        while self._waiting and room:
            request = self._waiting[0]
            # Withdrawn, or a part of it has failed already.
            if request.future.done():
                self._waiting.popleft()
                continue
            begin = request.begun
            request.begun = min(begin + room, len(request.texts))
            pieces.append(_Piece(request, begin, request.begun))
            room -= request.begun - begin
            if request.begun == len(request.texts):
                self._waiting.popleft()
        return pieces


class EmbeddingQueue:
    """Embeds texts with the server's embedders, in batches over all that call it."""

    def __init__(self, embedders: Mapping[str, Embedder], telemetry: Telemetry) -> None:
        self._embedders = embedders
        self._lines = {
            (name, query): _Line(each, telemetry, query=query)
            for name, each in embedders.items()
            for query in (True, False)
        }
        self._closed = False

    async def embed(self, embedder: str, texts: Sequence[str], *, query: bool = False) -> NDArray[np.float32]:
        """Embed texts: float32 of shape (len(texts), dimension), finite, no row zero.

        Raises NotConfigured for an unknown embedder, ModelUnavailable where one of the texts could not be
        embedded, NotReady after `close`. Cancelling withdraws what is not being embedded yet.
        """
        dimension = embedder_named(embedder, self._embedders).dimension
        if self._closed:
            raise NotReady("the server is stopping")
        future: asyncio.Future[NDArray[np.float32]] = asyncio.get_running_loop().create_future()
        if not texts:
            return np.empty((0, dimension), np.float32)
        self._lines[embedder, query].add(_Request(texts, dimension, future))
        return await future

    async def close(self) -> None:
        """Refuse what waits, finish what is being embedded, end the threads."""
        self._closed = True
        await asyncio.gather(*(line.close() for line in self._lines.values()))


def embed_each(
    embedder: Embedder, texts: Sequence[str], query: bool = False
) -> tuple[NDArray[np.float32], list[RagError | None]]:
    """Embed texts together, or one by one where that fails; for each text its row and what went wrong.

    Blocks. Rows of texts that failed are zero.
    """
    vectors = np.zeros((len(texts), embedder.dimension), np.float32)
    try:
        return _embed(embedder, texts, query), [None] * len(texts)
    except ModelUnavailable as error:
        if len(texts) == 1 or error.retry_after is not None:
            return vectors, [error] * len(texts)
    failures: list[RagError | None] = [None] * len(texts)
    for place, text in enumerate(texts):
        if place >= _FAILURES_IN_A_ROW and all(failures[:place]):
            # Each text would fail after a timeout of its own.
            failures[place] = failures[place - 1]
            continue
        try:
            vectors[place] = _embed(embedder, [text], query)[0]
        except ModelUnavailable as error:
            failures[place] = error
    return vectors, failures


def _embed(embedder: Embedder, texts: Sequence[str], query: bool) -> NDArray[np.float32]:
    """Call the embedder, and trust nothing that comes back."""
    try:
        embed = embedder.embed_queries if query else embedder.embed
        vectors = np.ascontiguousarray(embed(texts), dtype=np.float32)
    except ModelUnavailable:
        raise
    except Exception as error:
        raise ModelUnavailable(f"embedder {embedder.name!r} failed with {type(error).__name__}") from error
    shape = (len(texts), embedder.dimension)
    if vectors.shape != shape:
        raise ModelUnavailable(
            f"embedder {embedder.name!r} gave an array of shape {vectors.shape} where {shape} was due"
        )
    squares = np.einsum("ij,ij->i", vectors, vectors)
    if not (np.isfinite(squares) & (squares > 0)).all():
        raise ModelUnavailable(f"embedder {embedder.name!r} gave a vector that is zero or not finite")
    return vectors

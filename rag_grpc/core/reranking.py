"""Re-ranking by models that read query and chunk together.

Such a model needs milliseconds for each chunk and uses every core it is given, so each
has one thread and one queue: queries take their turns in the order in which they came.
A query's texts are read in batches, and between two batches it is seen whether anybody
still waits for the answer: a call that was cancelled, or whose deadline has passed,
costs one batch at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.errors import ModelUnavailable, NotConfigured, NotReady
from rag_grpc.core.model_ports import Reranker
from rag_grpc.core.ports import Telemetry
from rag_grpc.core.searches import Hit

BATCH_TEXTS = 16
"""Texts that are read together: enough to keep the cores busy, few enough to stop soon."""


class Reranking:
    """Scores texts with the server's re-rankers, each in a thread of its own. The first is the default."""

    def __init__(self, rerankers: Mapping[str, Reranker], telemetry: Telemetry) -> None:
        self._rerankers = rerankers
        self._telemetry = telemetry
        self._turns: dict[str, asyncio.Lock] = {}
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._closed = False

    def named(self, name: str) -> str:
        """Return the name of a re-ranker that is there, the default's for "". Raises NotConfigured."""
        if name in self._rerankers:
            return name
        has = ", ".join(self._rerankers)
        if not has:
            raise NotConfigured("this server has no cross-encoder to re-rank with")
        if name:
            raise NotConfigured(f"this server has no cross-encoder {name!r}; it has: {has}")
        return next(iter(self._rerankers))

    async def score(self, name: str, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Score texts against a query: float32 of shape (len(texts),), finite.

        Raises NotConfigured, ModelUnavailable, NotReady after `close`. Cancelling gives the turn away.
        """
        name = self.named(name)
        turn = self._turns.setdefault(name, asyncio.Lock())
        scores = np.empty(len(texts), np.float32)
        async with turn:
            for begin in range(0, len(texts), BATCH_TEXTS):
                batch = texts[begin : begin + BATCH_TEXTS]
                scores[begin : begin + len(batch)] = await self._batch(name, query, batch)
        return scores

    async def _batch(self, name: str, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        if self._closed:
            raise NotReady("the server is stopping")
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = ThreadPoolExecutor(1, thread_name_prefix=f"rerank-{name}")
        loop = asyncio.get_running_loop()
        scores = await loop.run_in_executor(pool, _scored, self._rerankers[name], query, texts)
        self._telemetry.batch("rerank", len(texts))
        return scores

    async def close(self) -> None:
        """Finish what is being read, refuse what waits, end the threads."""
        self._closed = True
        for pool in self._pools.values():
            await asyncio.to_thread(pool.shutdown)


def _scored(reranker: Reranker, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
    """Call the re-ranker, and trust nothing that comes back. Blocks."""
    try:
        scores = np.asarray(reranker.score(query, texts), dtype=np.float32)
    except ModelUnavailable:
        raise
    except Exception as error:
        raise ModelUnavailable(f"re-ranker {reranker.name!r} failed with {type(error).__name__}") from error
    if scores.shape != (len(texts),) or not np.isfinite(scores).all():
        raise ModelUnavailable(f"re-ranker {reranker.name!r} gave no score for some texts")
    return scores


def reranked(
    hits: Sequence[Hit],
    scores: NDArray[np.float32],
    *,
    top_k: int,
    offset: int = 0,
    cap: int = 0,
    min_score: float | None = None,
) -> list[Hit]:
    """Put hits in the order of their new scores, larger first, and cut the page from them.

    Those that tie keep their order. At most `cap` hits of a document stay, 0 for any number, and none that
    scores below `min_score`.
    """
    kept: list[Hit] = []
    counts: dict[str, int] = {}
    for place in np.argsort(-scores, kind="stable").tolist():
        score, hit = float(scores[place]), hits[place]
        if min_score is not None and score < min_score:
            break
        counts[hit.doc_id] = counts.get(hit.doc_id, 0) + 1
        if not cap or counts[hit.doc_id] <= cap:
            kept.append(hit._replace(score=score, rerank=score))
    return kept[offset : offset + top_k]

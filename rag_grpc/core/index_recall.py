"""How much the index misses right now: stored vectors are asked for their neighbours, in both ways.

The use case behind MeasureIndexRecall. Which vectors are asked is decided here, evenly over a collection and
yet not at even steps (a step could fall in with documents of equal length): one of each of `sample_size`
equal parts, chosen by chance from a seed. The same collection gives the same sample every time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rag_grpc.core.measures import percentile
from rag_grpc.core.models import DEFAULT_COLLECTION
from rag_grpc.core.ports import Store
from rag_grpc.core.precedence import Precedence
from rag_grpc.core.quality import Origin
from rag_grpc.core.quality_records import QualityRecords

DEFAULT_SAMPLE = 100
DEFAULT_TOP_K = 10
COMPARISONS_A_TURN = 2_000_000
"""Vectors compared in one turn: some 80 ms of one search thread at 384 dimensions."""
MAX_A_TURN = 64
"""Vectors asked in one turn, where a collection is small."""


@dataclass(frozen=True, slots=True)
class IndexRecall:
    """The mean share of the true neighbours that were found, and what 95 of 100 vectors reach at least."""

    recall: float
    recall_p5: float
    sample_size: int


class IndexMeasuring:
    """Measures collections of `store`, in turns that leave users their time."""

    def __init__(self, *, store: Store, precedence: Precedence, records: QualityRecords) -> None:
        self._store = store
        self._precedence = precedence
        self._records = records

    async def measure(
        self,
        collection: str = "",
        *,
        sample_size: int = 0,
        top_k: int = 0,
        ef: int = 0,
        seed: int = 0,
        origin: Origin = Origin.EVALUATION,
    ) -> IndexRecall:
        """Ask up to `sample_size` vectors for their `top_k` neighbours; 0 is the default of each.

        An empty collection misses nothing: its recall is 1, its sample 0. Raises CollectionNotFound and
        NotReady.
        """
        measured = self._store.collection(collection or DEFAULT_COLLECTION)
        chunks = self._store.counts(measured).chunks
        count = min(sample_size or DEFAULT_SAMPLE, chunks)
        chance = np.random.default_rng(seed).random(count)
        places = ((np.arange(count) + chance) / max(count, 1)).tolist()
        step = max(1, min(MAX_A_TURN, COMPARISONS_A_TURN // max(chunks, 1)))
        shares: list[float] = []
        for begin in range(0, count, step):
            async with self._precedence.turn():
                shares += await self._store.index_recall(
                    measured, places[begin : begin + step], top_k=top_k or DEFAULT_TOP_K, ef=ef
                )
        shares.sort()
        result = IndexRecall(
            recall=sum(shares) / len(shares) if shares else 1.0,
            recall_p5=percentile(shares, 5) if shares else 1.0,
            sample_size=len(shares),
        )
        shown = {"index_recall": result.recall, "index_recall_p5": result.recall_p5}
        await self._records.add(measured.name, "index", shown, origin=origin)
        return result

"""Which of the candidates become the hits of an answer. Selections run in the search threads.

Pages of one query must be what one large answer would have been, though neither a
graph's list nor a fused one of ten candidates is the beginning of that of a hundred. So
how deep a search goes must not depend on the page. Each query has a ladder of depths
that its other knobs alone decide, each rung four times as deep as the one before:

* A page that ends within the first rung is cut from that search's ranking.
* A page that ends behind it, or that a cap per document leaves short, needs the next
  rung too, whose ranking follows the one that stands already (`rankings.following`).

Nearly every page ends on the first rung, so nearly every query is one search. Where
shallow and deep lists agree in any case (words alone, every vector compared), the first
rung is as deep as the page needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.fusion import fused
from rag_grpc.core.models import Metric
from rag_grpc.core.queries import DEFAULT_RANK_CONSTANT
from rag_grpc.core.rankings import Ranking, capped, following, of_dense, of_lexical, scoring
from rag_grpc.core.searches import Candidates, Found, Selected
from rag_grpc.core.variety import cosines, likeness, varied

DEEPER = 4
"""How many times as deep the next rung is."""

_tuple: Any = tuple.__new__
_TINY = np.float32(1e-30)
_NONE = Candidates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


@dataclass(frozen=True, slots=True)
class DenseSelection:
    """The selection for nearness alone: pass over `offset` candidates, keep up to `top_k`.

    Those that score below `min_score` are left out; ranks count from the first candidate. What most queries
    by vector need, and the cheapest. A store may `cut` the arrays instead of calling it.
    """

    top_k: int
    offset: int = 0
    min_score: float | None = None

    def cut(self, candidates: Candidates) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return chunk ids and scores of what is selected; their ranks follow `offset`."""
        chunks, scores = candidates.chunks, candidates.scores
        if self.offset or len(chunks) > self.top_k:
            page = slice(self.offset, self.offset + self.top_k)
            chunks, scores = chunks[page], scores[page]
        if self.min_score is not None:
            # Who scores below stands behind all others.
            count = int(np.count_nonzero(scores.astype(np.float64) >= self.min_score))
            chunks, scores = chunks[:count], scores[:count]
        return chunks, scores

    def __call__(self, found: Found) -> Sequence[Selected]:
        """Select from the dense candidates."""
        candidates = found.dense
        if candidates is None:
            return ()
        chunks, scores = self.cut(candidates)
        documents = candidates.documents[self.offset : self.offset + len(chunks)]
        rows = zip(chunks.tolist(), documents.tolist(), scores.tolist(), strict=True)
        return [
            # As the tuple that it is: ten constructors take as long as cutting and converting the arrays.
            _tuple(Selected, (chunk, document, score, score, rank, None, None, None))
            for rank, (chunk, document, score) in enumerate(rows, start=self.offset + 1)
        ]


class Choice(NamedTuple):
    """What a selection chooses by, the same on every rung.

    `dense_weight` None stands for one side alone. `diversity` None for no re-ranking by variety. `pool` is
    how many candidates a re-ranking looks at, 0 where there is none; with `whole_pool` all of them are
    brought back, unsorted and uncapped, for a model to read. `max_depth` is where the ladder ends.
    """

    top_k: int
    offset: int
    max_depth: int
    min_score: float | None = None
    cap: int = 0
    dense_weight: float | None = None
    rank_constant: int = DEFAULT_RANK_CONSTANT
    pool: int = 0
    diversity: float | None = None
    metric: Metric = Metric.COSINE
    whole_pool: bool = False

    @property
    def end(self) -> int:
        """Where the page ends."""
        return self.offset + self.top_k

    @property
    def needed(self) -> int:
        """How long the ranking must be before it is re-ranked or cut."""
        return self.pool or self.end


class Selection:
    """The selection of one rung.

    After it was called, `deeper` says that the page needs the next rung, which `next` makes; nothing is
    selected then. `seconds` maps "fuse" and "rerank" to what they took, where they were done.
    """

    __slots__ = ("_choice", "_head", "_ranking", "deeper", "depth", "seconds")

    def __init__(self, choice: Choice, depth: int, head: Ranking | None = None) -> None:
        self._choice = choice
        self._head = head
        self._ranking: Ranking | None = None
        self.depth = depth
        self.deeper = False
        self.seconds: dict[str, float] = {}

    def next(self) -> Selection:
        """Return the selection of the next rung."""
        depth = min(self.depth * DEEPER, self._choice.max_depth)
        return Selection(self._choice, depth, self._ranking)

    def __call__(self, found: Found) -> Sequence[Selected]:
        """Select from the candidates of this rung's search."""
        choice = self._choice
        begin = perf_counter()
        ranking = self._ranked(found)
        rerank, cut = bool(choice.pool), self.depth < choice.max_depth and _is_cut(found, self.depth)
        if self._head is not None:
            ranking = following(self._head, ranking)
        if not rerank:
            ranking, ended = self._bounded(ranking)
            cut = cut and not ended
        # What stands behind the rung's depth may stand elsewhere on a deeper one.
        self.deeper = cut and min(len(ranking.chunks), self.depth) < choice.needed
        if choice.dense_weight is not None:
            self.seconds["fuse"] = perf_counter() - begin
        if self.deeper:
            self._ranking = ranking.taken(slice(self.depth))
            return ()
        if choice.whole_pool:
            return ranking.selected(0, choice.pool)
        if choice.diversity is not None:
            return self._varied(ranking.taken(slice(choice.pool)), found, choice.diversity)
        return ranking.selected(choice.offset, choice.end)

    def _ranked(self, found: Found) -> Ranking:
        choice = self._choice
        if choice.dense_weight is not None:
            return fused(
                found.dense or _NONE,
                found.lexical or _NONE,
                dense_weight=choice.dense_weight,
                constant=choice.rank_constant,
            )
        return of_dense(found.dense) if found.dense is not None else of_lexical(found.lexical or _NONE)

    def _bounded(self, ranking: Ranking) -> tuple[Ranking, bool]:
        """Apply cap and least score; also say whether the ranking ends at that score."""
        choice = self._choice
        if choice.cap:
            ranking = capped(ranking, choice.cap)
        if choice.min_score is None:
            return ranking, False
        scored = scoring(ranking, choice.min_score)
        return scored, len(scored.chunks) < len(ranking.chunks)

    def _varied(self, pool: Ranking, found: Found, diversity: float) -> list[Selected]:
        choice = self._choice
        begin = perf_counter()
        if not len(pool.chunks):
            return []
        vectors = found.vectors(pool.chunks)
        if choice.dense_weight is None and found.dense is not None:
            relevance, alike = pool.scores, likeness(vectors, choice.metric)
        else:
            # Words and ranks have a scale of their own: the best candidate's relevance is 1.
            best = np.maximum(pool.scores[:1], _TINY)
            relevance, alike = (pool.scores / best).astype(np.float32), cosines(vectors)
        # A cap may pass over what was taken, so all are put in order where there is one.
        order, scores = varied(
            relevance, alike, diversity=diversity, count=choice.pool if choice.cap else choice.end
        )
        ranking, _ = self._bounded(pool.taken(order)._replace(scores=scores))
        self.seconds["rerank"] = perf_counter() - begin
        return [each._replace(rerank=each.score) for each in ranking.selected(choice.offset, choice.end)]


def _is_cut(found: Found, depth: int) -> bool:
    """Whether a side may have more than it gave."""
    sides = (found.dense, found.lexical)
    return any(side is not None and len(side.chunks) >= depth for side in sides)

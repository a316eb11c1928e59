"""What a search asks of a store, what it finds on the way, and what it brings back.

Named tuples where every query or hit makes one: they take a quarter of the time that
a frozen dataclass takes. They are as immutable; whoever holds one may keep it across
threads and awaits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.filters import Filter
from rag_grpc.core.models import Chunk, Collection, Vector


class SearchMode(Enum):
    """Which evidence a query is answered by."""

    DENSE = "dense"
    """Nearness of embeddings."""
    LEXICAL = "lexical"
    """Words in common: BM25."""
    HYBRID = "hybrid"
    """Both, fused."""


class SearchStrategy(Enum):
    """How the store went about a query."""

    ANN = "ann"
    EXACT = "exact"
    ANN_THEN_EXACT = "ann_then_exact"
    LEXICAL = "lexical"
    """Words alone; no vectors were compared."""


class DenseQuery(NamedTuple):
    """What to look for, as an embedding of shape (dimension,).

    `ef` 0 means the store's default. `exact` compares every vector.
    """

    vector: Vector
    ef: int = 0
    exact: bool = False


class LexicalQuery(NamedTuple):
    """What to look for, as words: any text, of which the store takes the collection's tokens."""

    text: str


class WordCounts(NamedTuple):
    """In how many of a collection's `chunks` each of some terms stands: what makes a word rare."""

    chunks: int
    counts: Mapping[str, int]


class Candidates(NamedTuple):
    """Chunks that one side of a search found, best first, as arrays of one length.

    `chunks` int64: chunk ids. `documents` int64: a key that two chunks share when they belong to one
    document. `scores` float32: larger is better; those that tie stand in order of chunk id.
    """

    chunks: NDArray[np.int64]
    documents: NDArray[np.int64]
    scores: NDArray[np.float32]


class Found(NamedTuple):
    """What a selection chooses from: the candidates of each side that was asked, None of the other.

    `vectors` gives the embeddings of some of the candidates, by their chunk ids, as they are compared:
    shape (n, dimension), float32, of unit length where the metric is cosine.
    """

    dense: Candidates | None
    lexical: Candidates | None
    vectors: Callable[[NDArray[np.int64]], NDArray[np.float32]]


class Selected(NamedTuple):
    """A candidate that made it into the answer; a part is None where that search did not find it.

    From `score` on the fields are those of Hit, in its order.
    """

    chunk: int
    document: int
    score: float
    dense: float | None = None
    dense_rank: int | None = None
    lexical: float | None = None
    lexical_rank: int | None = None
    rerank: float | None = None


Select: TypeAlias = Callable[[Found], Sequence[Selected]]
"""Cut candidates to the hits of an answer, best first: fast, called in a search thread, maybe again."""


@dataclass(frozen=True, slots=True)
class HitParts:
    """Which parts of the stored rows a search shall bring back beside ids and scores.

    With `packed` the caller does not look into hits, so that a store may give PackedHits.
    """

    text: bool = True
    title: bool = True
    metadata: bool = True
    vectors: bool = False
    packed: bool = False

    @property
    def places_alone(self) -> bool:
        """Whether hits say no more than where they are, which never changes."""
        return not (self.text or self.title or self.metadata or self.vectors)

    @property
    def whole(self) -> bool:
        """Whether hits say all that they can but their vectors."""
        return self.text and self.title and self.metadata and not self.vectors


ALL_PARTS = HitParts()


class Search(NamedTuple):
    """One search: where, for what, how many candidates the selection wants, and what to bring back.

    At least one of `dense` and `lexical` is set. `candidates` is how many of the best chunks of each side
    `select` must be given, where there are so many that pass `filter` (None: everything passes).
    """

    collection: Collection
    candidates: int
    select: Select
    dense: DenseQuery | None = None
    lexical: LexicalQuery | None = None
    filter: Filter | None = None
    parts: HitParts = ALL_PARTS


class AlikeSearches(Sequence[Search]):
    """Searches by vector that differ in nothing else: a store may answer them as one.

    `first` is one of them, `vectors` (n, dimension) what they look for, float32.
    """

    __slots__ = ("first", "vectors")

    def __init__(self, first: Search, vectors: NDArray[np.float32]) -> None:
        self.first = first
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.vectors)

    @overload
    def __getitem__(self, place: int) -> Search: ...

    @overload
    def __getitem__(self, place: slice) -> AlikeSearches: ...

    def __getitem__(self, place: int | slice) -> Search | AlikeSearches:
        if isinstance(place, slice):
            return AlikeSearches(self.first, self.vectors[place])
        asked = self.first.dense
        vector = self.vectors[place]
        dense = DenseQuery(vector) if asked is None else asked._replace(vector=vector)
        return self.first._replace(dense=dense)


class Hit(NamedTuple):
    """A chunk that was found. Parts that were not asked for are empty, `packed_metadata` None."""

    doc_id: str
    chunk: Chunk
    title: str
    packed_metadata: bytes | None
    score: float
    dense: float | None = None
    dense_rank: int | None = None
    lexical: float | None = None
    lexical_rank: int | None = None
    rerank: float | None = None


class PackedHits(Sequence[Hit]):
    """Hits of nearness alone as the edge sends them, but for their scores, best first.

    `packed` are what HitCodec.pack made of each; a Hit is made only for who looks at one. `scores` float32,
    shape (len(packed),). `first_rank` is the first one's rank among the candidates.
    """

    __slots__ = ("_unpack", "first_rank", "packed", "scores")

    def __init__(
        self,
        packed: Sequence[bytes],
        scores: NDArray[np.float32],
        first_rank: int,
        unpack: Callable[[bytes], tuple[str, Chunk, str, bytes | None]],
    ) -> None:
        self.packed = packed
        self.scores = scores
        self.first_rank = first_rank
        self._unpack = unpack

    def __len__(self) -> int:
        return len(self.packed)

    @overload
    def __getitem__(self, place: int) -> Hit: ...

    @overload
    def __getitem__(self, place: slice) -> list[Hit]: ...

    def __getitem__(self, place: int | slice) -> Hit | list[Hit]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        doc_id, chunk, title, metadata = self._unpack(self.packed[place])
        score = float(self.scores[place])
        return Hit(doc_id, chunk, title, metadata, score, score, self.first_rank + place % len(self))


class SearchResult(NamedTuple):
    """What one search came to.

    `stages` maps a stage's name to its seconds. `matching_chunks` counts what passes the filter, None where
    there was none. `more` says that a side was cut at `candidates`, so that asking for more may find more.
    """

    hits: Sequence[Hit]
    strategy: SearchStrategy
    stages: Mapping[str, float]
    matching_chunks: int | None = None
    more: bool = False

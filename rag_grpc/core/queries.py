"""What a query asks, and what it came to.

Named tuples: a query makes one of each on the event loop, and a frozen dataclass costs
four times as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.models import TextSpan, Vector
from rag_grpc.core.searches import ALL_PARTS, Hit, HitParts, SearchMode, SearchStrategy

DEFAULT_TOP_K = 10
DEFAULT_DIVERSITY = 0.5
DEFAULT_RANK_CONSTANT = 10
"""Not the 60 of Cormack, Clarke and Buettcher (2009): decision 14 has the measurements."""


class Variety(NamedTuple):
    """Re-rank by maximal marginal relevance: see `rag_grpc.core.variety`.

    `diversity` goes from 0, only nearness, to 1, only variety. `candidates` 0 means four times `top_k`.
    """

    diversity: float = DEFAULT_DIVERSITY
    candidates: int = 0


class CrossEncoding(NamedTuple):
    """Re-rank by a model that reads query and chunk together; an empty name is the server's default."""

    model: str = ""
    candidates: int = 0


Rerank: TypeAlias = Variety | CrossEncoding


class Query(NamedTuple):
    """What to look for: one at least of `text`, `vector` of shape (dimension,), and `doc_id`, alone.

    `mode` None leaves the choice to the service. `dense_weight` None is that of the collection's embedder.
    `rank_constant`, `ef` and `max_hits_per_document` may be 0: the default, and no bound.
    """

    collection: str = ""
    text: str = ""
    vector: Vector | None = None
    doc_id: str = ""
    top_k: int = DEFAULT_TOP_K
    offset: int = 0
    filter: str = ""
    mode: SearchMode | None = None
    min_score: float | None = None
    max_hits_per_document: int = 0
    dense_weight: float | None = None
    rank_constant: int = 0
    rerank: Rerank | None = None
    ef: int = 0
    exact: bool = False
    parts: HitParts = ALL_PARTS
    highlight: bool = False


_VECTOR: Final = Query._fields.index("vector")


def differ_in_vector_alone(query: Query, other: Query) -> bool:
    """Whether two queries by vector are the same in everything else."""
    return (
        query.vector is not None
        and other.vector is not None
        and query[:_VECTOR] == other[:_VECTOR]
        and query[_VECTOR + 1 :] == other[_VECTOR + 1 :]
    )


class AlikeQueries(Sequence[Query]):
    """Queries by vector that differ in nothing else, as those of most batches: planned and searched as one.

    `first` is the first of them, `vectors` (n, dimension) what they look for, float32.
    """

    __slots__ = ("first", "vectors")

    def __init__(self, first: Query, vectors: NDArray[np.float32]) -> None:
        self.first = first
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.vectors)

    @overload
    def __getitem__(self, place: int) -> Query: ...

    @overload
    def __getitem__(self, place: slice) -> AlikeQueries: ...

    def __getitem__(self, place: int | slice) -> Query | AlikeQueries:
        if isinstance(place, slice):
            return AlikeQueries(self.first._replace(vector=self.vectors[place][0]), self.vectors[place])
        return self.first._replace(vector=self.vectors[place])


class QueryResult(NamedTuple):
    """What a query came to. `stages` maps "embed", "dense", "fetch" and so on to seconds.

    `highlights` stands beside `hits` where it was asked for: for each hit where the words of the query are in
    its text.
    """

    hits: Sequence[Hit]
    strategy: SearchStrategy
    stages: Mapping[str, float]
    mode: SearchMode = SearchMode.DENSE
    matching_chunks: int | None = None
    highlights: Sequence[Sequence[TextSpan]] | None = None

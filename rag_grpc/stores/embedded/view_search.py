"""Answering searches on one view of a collection: find candidates, select, read rows.

Searches of one call that ask for the same (where, how many, how hard, which parts) are
answered together: the graph, numpy and SQLite each cost a call, and ten queries cost
little more of them than one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import TypeAlias

import apsw
import numpy as np
import structlog
from numpy.typing import NDArray

from rag_grpc.core.errors import EmbedderChanged, LimitExceeded, RagError, StorageFault, WordsNotReady
from rag_grpc.core.searches import (
    AlikeSearches,
    Candidates,
    Found,
    Hit,
    Search,
    SearchResult,
    SearchStrategy,
)
from rag_grpc.stores.embedded.allowed_chunks import AllowedChunks
from rag_grpc.stores.embedded.collection_state import View
from rag_grpc.stores.embedded.dense_search import Found as DenseFound
from rag_grpc.stores.embedded.dense_search import comparable, search, vectors_of
from rag_grpc.stores.embedded.filtered_search import search_allowed
from rag_grpc.stores.embedded.hit_rows import read_hits
from rag_grpc.stores.embedded.lexical_search import search_words
from rag_grpc.stores.embedded.packed_hits import HitPacker, wants_packed
from rag_grpc.stores.embedded.processors import Processors

log = structlog.get_logger(__name__)

Result = SearchResult | RagError
Rows: TypeAlias = Sequence[Hit] | StorageFault | LimitExceeded


def alike(search: Search) -> tuple[object, ...]:
    """Return what searches must have in common to be answered together."""
    dense = search.dense
    return (
        search.collection.id,
        search.collection.embedder_fingerprint,
        search.candidates,
        search.parts,
        search.lexical is None,
        # The same text is compiled to the same tree, and a tree is dear to compare.
        id(search.filter),
        None if dense is None else (dense.ef, dense.exact),
        type(search.select),
    )


def answer(
    reader: apsw.Connection,
    view: View,
    searches: Sequence[Search],
    *,
    ef: int,
    threads: Processors,
    packer: HitPacker | None = None,
) -> list[Result]:
    """Answer searches that are `alike`; a stage takes all of them its time.

    `ef` is the default breadth, `threads` how many processors the graph may use for all of them. `packer`
    serves searches whose hits are wanted as they are sent.
    """
    first = searches[0]
    stages: dict[str, float] = {}
    clock = perf_counter()
    allowed = None
    if first.filter is not None:
        allowed = view.filters.allowed(first.filter)
        stages["filter"], clock = perf_counter() - clock, perf_counter()
    dense, lexical = _both_sides(view, searches, allowed, stages, ef=ef, threads=threads)
    clock = perf_counter()
    rows = _rows(reader, view, searches, dense, lexical, packer=packer)
    stages["fetch"] = perf_counter() - clock
    matching = None if allowed is None else len(allowed)
    return [
        _result(
            hits,
            SearchStrategy.LEXICAL if near is None else near.strategy,
            stages,
            matching,
            more=(near is not None and len(near.candidates.chunks) == first.candidates)
            or (words is not None and len(words.chunks) == first.candidates),
        )
        for near, words, hits in zip(dense, lexical, rows, strict=True)
    ]


def _rows(
    reader: apsw.Connection,
    view: View,
    searches: Sequence[Search],
    dense: Sequence[DenseFound | None],
    lexical: Sequence[Candidates | None],
    *,
    packer: HitPacker | None,
) -> Sequence[Rows]:
    """Select from what each search found, and read that."""
    first, together = searches[0], isinstance(searches, AlikeSearches)
    selects = [first.select] * len(searches) if together else [each.select for each in searches]
    near_ones = [None if near is None else near.candidates for near in dense]
    if packer is not None and wants_packed(first):
        packed = packer.hits(reader, view.dense, selects, near_ones, first.parts)
        if packed is not None:
            return packed
    lookup = partial(vectors_of, view.dense)
    selections = [
        select(Found(near, words, lookup))
        for select, near, words in zip(selects, near_ones, lexical, strict=True)
    ]
    return read_hits(reader, selections, view.seq, first.parts, view.side.table)


def _both_sides(
    view: View,
    searches: Sequence[Search],
    allowed: AllowedChunks | None,
    stages: dict[str, float],
    *,
    ef: int,
    threads: Processors,
) -> tuple[Sequence[DenseFound | None], Sequence[Candidates | None]]:
    """Find the candidates of each side: side by side where a processor is idle, both without the GIL."""

    def of_words() -> Sequence[Candidates | None]:
        began = perf_counter()
        found = _lexical(view, searches, allowed)
        stages["lexical"] = perf_counter() - began
        return found

    first, nothing = searches[0], [None] * len(searches)
    if first.dense is None:
        return nothing, of_words()
    words = threads.beside(of_words) if first.lexical is not None else lambda: nothing
    began = perf_counter()
    try:
        dense = _dense(view, searches, allowed, ef=ef, threads=threads)
        stages["dense"] = perf_counter() - began
    finally:
        # Also where the dense side failed: the view is held for this call alone.
        lexical = words()
    return dense, lexical


def _dense(
    view: View, searches: Sequence[Search], allowed: AllowedChunks | None, *, ef: int, threads: Processors
) -> Sequence[DenseFound]:
    asked, k = searches[0].dense, searches[0].candidates
    if asked is None:
        return []
    if searches[0].collection.embedder_fingerprint != view.side.fingerprint:
        raise EmbedderChanged(searches[0].collection.name)
    queries = comparable(_vectors(searches), view.dense.metric)
    ef = asked.ef or ef
    if allowed is None:
        return search(view.dense, queries, k=k, ef=ef, exact=asked.exact, threads=threads)
    return search_allowed(
        view.dense, queries, allowed, k=k, ef=ef, exact=asked.exact, live=view.counts.chunks, threads=threads
    )


def _vectors(searches: Sequence[Search]) -> NDArray[np.float32]:
    if isinstance(searches, AlikeSearches):
        return searches.vectors
    vectors = [each.dense.vector for each in searches if each.dense is not None]
    return vectors[0][None] if len(vectors) == 1 else np.stack(vectors)


def _lexical(view: View, searches: Sequence[Search], allowed: AllowedChunks | None) -> Sequence[Candidates]:
    if view.lexical is None:
        raise WordsNotReady
    return [
        search_words(view.lexical, view.dense, each.lexical.text, each.candidates, allowed)
        for each in searches
        if each.lexical is not None
    ]


def _result(
    hits: Rows,
    strategy: SearchStrategy,
    stages: Mapping[str, float],
    matching: int | None,
    *,
    more: bool,
) -> Result:
    if isinstance(hits, LimitExceeded):
        return hits
    if isinstance(hits, StorageFault):
        log.error("search_rows_missing", error=hits.message)
        return hits
    return SearchResult(hits, strategy, stages, matching, more)

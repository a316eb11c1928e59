"""Answering searches on one view of a collection: find candidates, select, read rows.

Searches of one call that ask for the same (where, how many, how hard, which parts) are
answered together: the graph, numpy and SQLite each cost a call, and ten queries cost
little more of them than one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter

import apsw
import numpy as np
import structlog

from rag_grpc.core.errors import NotConfigured, RagError, StorageFault
from rag_grpc.core.searches import Found, Hit, Search, SearchResult, SearchStrategy
from rag_grpc.stores.embedded.collection_state import View
from rag_grpc.stores.embedded.dense_search import comparable, search, vectors_of
from rag_grpc.stores.embedded.hit_rows import read_hits

log = structlog.get_logger(__name__)

Result = SearchResult | RagError


def alike(search: Search) -> tuple[object, ...]:
    """Return what searches must have in common to be answered together."""
    dense = search.dense
    return (
        search.collection.id,
        search.candidates,
        search.parts,
        search.lexical is None,
        # The same text is compiled to the same tree, and a tree is dear to compare.
        id(search.filter),
        None if dense is None else (dense.ef, dense.exact),
    )


def answer(
    reader: apsw.Connection, view: View, searches: Sequence[Search], *, ef: int, threads: int
) -> list[Result]:
    """Answer searches that are `alike`; a stage takes all of them its time.

    `ef` is the default breadth, `threads` how many processors the graph may use for all of them.
    """
    first = searches[0]
    if first.dense is None or first.lexical is not None or first.filter is not None:
        raise NotConfigured("lexical search and filters are not built yet")
    started = perf_counter()
    vectors = [each.dense.vector for each in searches if each.dense is not None]
    queries = comparable(vectors[0][None] if len(vectors) == 1 else np.stack(vectors), view.dense.metric)
    dense = search(
        view.dense,
        queries,
        k=first.candidates,
        ef=first.dense.ef or ef,
        exact=first.dense.exact,
        threads=threads,
    )
    found_at = perf_counter()
    lookup = partial(vectors_of, view.dense)
    selections = [
        each.select(Found(side.candidates, None, lookup)) for each, side in zip(searches, dense, strict=True)
    ]
    rows = read_hits(reader, selections, view.seq, first.parts)
    stages = {"dense": found_at - started, "fetch": perf_counter() - found_at}
    return [
        _result(hits, side.strategy, stages, more=len(side.candidates.chunks) == first.candidates)
        for side, hits in zip(dense, rows, strict=True)
    ]


def _result(
    hits: tuple[Hit, ...] | StorageFault,
    strategy: SearchStrategy,
    stages: Mapping[str, float],
    *,
    more: bool,
) -> Result:
    if isinstance(hits, StorageFault):
        log.error("search_rows_missing", error=hits.message)
        return hits
    return SearchResult(hits, strategy, stages, None, more)

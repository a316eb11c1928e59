"""Finding the chunks that share most with a query's words, in one view: BM25, by tantivy.

Queries are built from terms, never parsed from text: no input is a syntax error, and
none means more than its words. A term that stands in the query twice weighs twice.

Chunks that tie stand in order of their ids. Tantivy settles ties by where a chunk lies
in which segment, so some more are asked for than are wanted, to see whether the last
one ties with others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tantivy import Occur, Query

from rag_grpc.core.analysis import query_terms
from rag_grpc.core.searches import Candidates, WordCounts
from rag_grpc.stores.embedded.allowed_chunks import AllowedChunks
from rag_grpc.stores.embedded.dense_search import DenseView
from rag_grpc.stores.embedded.lexical_folder import LexicalFault
from rag_grpc.stores.embedded.lexical_schema import CHUNK, WORDS, LexicalView
from rag_grpc.stores.embedded.vector_file import Ids, Slots

TIES: Final = 16
"""How many more than wanted are asked for at first."""
MOST_TIES: Final = 4096
"""Where more tie at the end of what is wanted, which of them come is tantivy's choice."""
FEW_MATCHES: Final = 2000
"""Up to so many chunks that pass a filter are named to tantivy; with more, what does not pass is dropped."""


def search_words(
    view: LexicalView, dense: DenseView, text: str, k: int, allowed: AllowedChunks | None = None
) -> Candidates:
    """Find the `k` best chunks that have a word in common with `text`, or all where they are fewer.

    `dense` is the same view's: it knows which chunks live, and of which content they are.
    Raises LexicalFault.
    """
    query = _query(view, text)
    if query is None or view.searcher is None or (allowed is not None and not len(allowed)):
        return _NONE
    slots, limit = dense.slots, k + TIES
    if allowed is not None:
        if len(allowed) <= FEW_MATCHES:
            query = _restricted(view, query, allowed.ids)
            allowed = None
        else:
            limit = int(limit * 1.5 * slots.length / len(allowed))
    # tantivy makes room for as many as it is asked for.
    most = max(slots.length, view.searcher.num_docs) + 1
    while True:
        limit = min(limit, most)
        chunks, scores, whole = _search(view, query, limit)
        usable, places = _living(slots, chunks, dense.seq)
        if allowed is not None:
            usable &= allowed.mask(chunks)
        chunks, scores = chunks[usable], scores[usable]
        if whole or _enough(scores, k, limit):
            break
        limit *= 2
    order = np.lexsort((chunks, -scores))[:k]
    return Candidates(chunks[order], slots.contents[places[usable][order]], scores[order])


def count_words(view: LexicalView, terms: Sequence[str]) -> WordCounts:
    """Count the chunks in which each term stands, deleted ones included. Raises LexicalFault."""
    searcher = view.searcher
    if searcher is None:
        return WordCounts(0, dict.fromkeys(terms, 0))
    try:
        return WordCounts(searcher.num_docs, {term: searcher.doc_freq(WORDS, term) for term in terms})
    except BaseException as error:
        # A damaged file makes Rust panic, which is no Exception.
        raise LexicalFault(f"the index of words cannot be read: {error}") from error


def _enough(scores: NDArray[np.float32], k: int, limit: int) -> bool:
    """Tell whether what follows, which scores no better than the last, can change the first `k`."""
    return len(scores) >= k and (len(scores) == 0 or scores[k - 1] > scores[-1] or limit > k + MOST_TIES)


def _query(view: LexicalView, text: str) -> Query | None:
    clauses = []
    for term, count in query_terms(view.analyzer, text, view.language).items():
        query = Query.term_query(view.schema, WORDS, term, "freq")
        clauses.append((Occur.Should, Query.boost_query(query, float(count)) if count > 1 else query))
    return Query.boolean_query(clauses) if clauses else None


def _restricted(view: LexicalView, query: Query, chunks: Ids) -> Query:
    among = Query.const_score_query(Query.term_set_query(view.schema, CHUNK, chunks.tolist()), 0.0)
    return Query.boolean_query([(Occur.Must, query), (Occur.Must, among)])


def _search(view: LexicalView, query: Query, limit: int) -> tuple[Ids, NDArray[np.float32], bool]:
    """Return chunks and scores, best first, and whether that is all there is. Raises LexicalFault."""
    if view.searcher is None:
        raise AssertionError("searched without a searcher")
    try:
        hits = view.searcher.search(query, limit, count=False).hits
        chunks = view.searcher.fast_field_values(CHUNK, [address for _, address in hits])
    except BaseException as error:
        # A damaged file makes Rust panic, which is no Exception.
        raise LexicalFault(f"the index of words cannot be read: {error}") from error
    scores = np.array([score for score, _ in hits], dtype=np.float32)
    return np.array(chunks, dtype=np.int64), scores, len(hits) < limit


def _living(slots: Slots, chunks: Ids, seq: int) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Say which chunks live at `seq`, and in which slots. All do, unless an index is being made anew."""
    places = np.searchsorted(slots.ids[: slots.length], chunks)
    known = places < slots.length
    places[~known] = 0
    return known & (slots.ids[places] == chunks) & (slots.died[places] > seq), places


_NONE: Final = Candidates(
    np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
)

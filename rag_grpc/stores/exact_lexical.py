"""The words of a collection, all in memory, and the chunks that share most with a query: BM25.

What the memory store searches, and what the embedded store's index is held to: the
formula is tantivy's to the digit. It is the usual one, with k1 1.2 and b 0.75, save that
a chunk's length is stored in one byte: exact up to 40 terms, and above that cut to
one of ever wider steps, so that lengths within some six per cent count as one.

    score = sum over terms of  count * idf * (k1 + 1) * f / (f + k1 * (1 - b + b * length / mean))
    idf = ln(1 + (N - n + 0.5) / (n + 0.5))

where a term stands `count` times in the query and `f` times in the chunk, `n` of all
`N` chunks have it, and `mean` is the true mean length.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.searches import Candidates

K1: Final = 1.2
B: Final = 0.75


def _byte_lengths() -> list[int]:
    """Return the length that each of the 256 bytes stands for, rising: as Lucene's SmallFloat has them."""
    exact = 24
    lengths = list(range(exact))
    for code in range(256 - exact):
        low, shift = code & 7, (code >> 3) - 1
        lengths.append(exact + (low if shift < 0 else (low | 8) << shift))
    return lengths


BYTE_LENGTHS: Final = tuple(_byte_lengths())


def counted_length(length: int) -> int:
    """Return what a length counts as, once it was stored in a byte."""
    return BYTE_LENGTHS[bisect_right(BYTE_LENGTHS, length) - 1]


class ExactLexical:
    """The terms of chunks, by chunk id."""

    def __init__(self) -> None:
        self._postings: dict[str, dict[int, int]] = {}
        self._terms: dict[int, Counter[str]] = {}
        self._documents: dict[int, int] = {}
        self._total = 0

    def add(self, chunk: int, document: int, terms: Sequence[str]) -> None:
        """Add a chunk of a document, with its terms in any order."""
        counts = Counter(terms)
        self._terms[chunk] = counts
        self._documents[chunk] = document
        self._total += len(terms)
        for term, count in counts.items():
            self._postings.setdefault(term, {})[chunk] = count

    def remove(self, chunk: int) -> None:
        """Take a chunk out."""
        counts = self._terms.pop(chunk)
        del self._documents[chunk]
        self._total -= counts.total()
        for term in counts:
            postings = self._postings[term]
            del postings[chunk]
            if not postings:
                del self._postings[term]

    def counts(self, terms: Sequence[str]) -> dict[str, int]:
        """Count the chunks in which each term stands."""
        return {term: len(self._postings.get(term, ())) for term in terms}

    def best(
        self, terms: Mapping[str, int], count: int, wanted: NDArray[np.int64] | None = None
    ) -> Candidates:
        """Find the `count` best chunks that have one of `terms` (and how often the query has it).

        By score, then by chunk id. Only those of `wanted`, where that is set.
        """
        scores: dict[int, float] = {}
        chunks_in_all = len(self._terms)
        mean = self._total / chunks_in_all if chunks_in_all else 0.0
        for term, times in terms.items():
            postings = self._postings.get(term, {})
            rarity = log(1 + (chunks_in_all - len(postings) + 0.5) / (len(postings) + 0.5))
            for chunk, frequency in postings.items():
                length = counted_length(self._terms[chunk].total())
                saturation = frequency / (frequency + K1 * (1 - B + B * length / mean))
                scores[chunk] = scores.get(chunk, 0.0) + times * rarity * (K1 + 1) * saturation
        chunks = np.fromiter(scores, dtype=np.int64, count=len(scores))
        values = np.fromiter(scores.values(), dtype=np.float32, count=len(scores))
        if wanted is not None:
            inside = np.isin(chunks, wanted)
            chunks, values = chunks[inside], values[inside]
        order = np.lexsort((chunks, -values))[:count]
        chunks = chunks[order]
        documents = np.array([self._documents[each] for each in chunks.tolist()], dtype=np.int64)
        return Candidates(chunks, documents, values[order])

"""A question taken apart: what it is about, how much each of its words weighs, what it calls for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Final, TypeAlias

from rag_grpc.core.analysis import Analyzer, Token
from rag_grpc.core.question_words import Kind, asking_words, kind_of, language_of
from rag_grpc.core.searches import WordCounts

Phrases: TypeAlias = frozenset[tuple[str, ...]]

_MOST_TERMS: Final = 64
"""Terms of a question that are looked for, the rarest: each costs a look at every sentence."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question taken apart. `terms` stand in its order, each with its weight; their sum is `total`.

    `pairs` and `triples` are of neighbouring words as they stand, the little ones included.
    """

    terms: tuple[str, ...]
    weights: Mapping[str, float]
    total: float
    names: frozenset[str]
    pairs: Phrases
    triples: Phrases
    kind: Kind
    language: str


def rarity(counts: WordCounts | None, term: str) -> float:
    """Return how much a term weighs: as in BM25, from near 0 to some 10. All the same without counts."""
    if counts is None or not counts.chunks:
        return 1.0
    having = counts.counts.get(term, 0)
    return log(1 + (max(0, counts.chunks - having) + 0.5) / (having + 0.5))


def question_terms(analyzer: Analyzer, text: str, language: str) -> list[str]:
    """Return the terms of a question that say what it is about, in its order; all, where none does."""
    return [each.term for each in _telling(analyzer, text, language)]


def question_of(analyzer: Analyzer, text: str, language: str, counts: WordCounts | None) -> Question:
    """Take a question apart."""
    tokens = _telling(analyzer, text, language)
    weights = {each.term: rarity(counts, each.term) for each in tokens}
    if len(weights) > _MOST_TERMS:
        kept = sorted(weights, key=lambda term: -weights[term])[:_MOST_TERMS]
        weights = {term: weights[term] for term in weights if term in frozenset(kept)}
    tokens = [each for each in tokens if each.term in weights]
    plain = analyzer.terms(text, "")
    names = {each.term for each in tokens if each.start > 0 and _is_name(text[each.start])}
    return Question(
        tuple(each.term for each in tokens),
        weights,
        sum(weights.values()),
        frozenset(names),
        phrases(plain, 2),
        phrases(plain, 3),
        kind_of(text, language_of(text, language)),
        language,
    )


def _telling(analyzer: Analyzer, text: str, language: str) -> list[Token]:
    tokens = analyzer.tokens(text, language)
    asking = frozenset(analyzer.terms(asking_words(language_of(text, language)), language))
    return [each for each in tokens if each.term not in asking] or tokens


def _is_name(first: str) -> bool:
    return first.isupper() or first.isdigit()


def phrases(words: list[str], length: int) -> Phrases:
    """Return every row of so many neighbouring words."""
    return frozenset(zip(*(words[start:] for start in range(length)), strict=False))

"""How far passages answer a question, sentence by sentence: by words, without a model.

What is looked at is what a reader who knows no more would look at. Does the sentence
have the question's words, the rare ones above all? Do its neighbours have the rest, and
its title? Do the words stand together as they do in the question? Are the names in it
that were asked for? Where a number was asked for, is there one? Each is a number from 0
to 1, or nearly; they are put together with the weights of `core.evidence_weights`, which
were fitted to questions with known answers (docs/generation.md has the figures).

Two figures come of it. `choice` says which of some sentences answers best, and compares
within one question alone. `support` says whether a sentence answers at all: 0 to 1, of
every question on one scale. It is a product: does the passage speak of this at all, and
if so, does the sentence answer, and not only one like many others in the sources?

Words are compared by their stems, where the language is known, and by a common
beginning otherwise ("destroyed", "destruction"). What is asked in other words than the
passage has is not seen; nor is a negation, nor a passage that lies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf, log1p
from typing import Final, NamedTuple

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.answers import Source
from rag_grpc.core.evidence_weights import ALONE, ANSWER, CHOICE, TOPIC, Weights
from rag_grpc.core.models import TextSpan
from rag_grpc.core.question_words import Kind
from rag_grpc.core.questions import Question, phrases
from rag_grpc.core.sentences import sentences

_COMMON_BEGINNING: Final = 4
"""Letters that two words must have in common to count as one, and this share of the longer one:"""
_COMMON_SHARE: Final = 0.6
_NEAR: Final = 3
"""Words apart at which two words still stand together."""
_DOUBT: Final = 3
"""How much more it weighs that a passage may speak of something else than that it may not answer."""
_HAS_DIGIT: Final = re.compile(r"\d")
_WORD: Final = re.compile(r"[^\W_][\w'\u2019.-]*")
_OWN_ENOUGH: Final = 0.15
"""A sentence with less than this share of the question answers it less, in proportion, down to:"""
_OWN_NOTHING: Final = 0.1
"""It may say "it" and mean what the one before names. Or it may be a stranger in a fitting passage."""


class Evidence(NamedTuple):
    """A sentence of a source, from 0, and what it is worth as an answer. `terms` are all it has, in order."""

    source: int
    span: TextSpan
    terms: tuple[str, ...]
    choice: float
    support: float


def weigh(analyzer: Analyzer, question: Question, sources: Sequence[Source]) -> list[Evidence]:
    """Weigh every sentence of `sources`, in order. Blocks, for some 0.5 ms a thousand characters."""
    found: list[Evidence] = []
    for sentence, features in look_at(analyzer, question, sources):
        own = max(_OWN_NOTHING, min(1.0, features["own"] / _OWN_ENOUGH))
        # Where nothing of the question is there, what the weights say of nothing is of no use.
        seen = own if features["passage"] else 0.0
        support = seen * _likely(TOPIC, features) ** _DOUBT * _likely(ANSWER, features)
        found.append(Evidence(sentence.source, sentence.span, sentence.terms, CHOICE.sum(features), support))
    return found


def _likely(weights: Weights, features: Mapping[str, float]) -> float:
    return 1 / (1 + exp(-weights.sum(features)))


class Sentence(NamedTuple):
    """A sentence of a source, and which of the question's terms it has."""

    source: int
    span: TextSpan
    text: str
    terms: tuple[str, ...]
    having: frozenset[str]


def look_at(
    analyzer: Analyzer, question: Question, sources: Sequence[Source], choice: Weights = CHOICE
) -> list[tuple[Sentence, dict[str, float]]]:
    """Look at every sentence of all sources: what is seen of each, by name."""
    alike = _Alike(question.weights)
    seen: list[tuple[Sentence, dict[str, float]]] = []
    best: dict[int, float] = {}
    said: dict[int, float] = {}
    for number, source in enumerate(sources):
        text = _sentences(analyzer, question, alike, number, source)
        about = alike.of(analyzer.terms(" ".join((source.title, *source.headings)), question.language))
        plain = analyzer.terms(source.text, "")
        whole = _Passage.of(question, about.union(*(each.having for each in text)), alike, text, plain)
        said[number] = whole.phrases
        for place, sentence in enumerate(text):
            around = about.union(*(each.having for each in text[max(0, place - 1) : place + 2]))
            features = _features(question, sentence, around, whole, alike)
            seen.append((sentence, features))
            best[number] = max(choice.sum(features), best.get(number, -inf))
    for sentence, features in seen:
        others = [value for number, value in best.items() if number != sentence.source]
        features["margin"] = choice.sum(features) - sum(others) / len(others) if others else ALONE
        # How far one can stand out depends on how much was asked.
        features["margin_asked"] = features["margin"] * features["asked"]
        features["phrase_margin"] = features["phrases"] - max(
            (value for number, value in said.items() if number != sentence.source), default=0.0
        )
    return seen


def _sentences(
    analyzer: Analyzer, question: Question, alike: _Alike, number: int, source: Source
) -> list[Sentence]:
    found = []
    for span in sentences(source.text):
        text = source.text[span.start : span.end]
        terms = tuple(analyzer.terms(text, question.language))
        found.append(Sentence(number, span, text, terms, alike.of(terms)))
    return found


@dataclass(frozen=True, slots=True)
class _Passage:
    """What is seen of a whole passage, the same for all of its sentences."""

    passage: float
    pairs: float
    names: float
    missing: float
    phrases: float
    long_phrases: float

    @classmethod
    def of(
        cls,
        question: Question,
        having: frozenset[str],
        alike: _Alike,
        text: Sequence[Sentence],
        plain: list[str],
    ) -> _Passage:
        weights = question.weights
        terms = [term for each in text for term in each.terms]
        of_names = sum(weights[name] for name in question.names)
        named = sum(weights[name] for name in question.names & having)
        return cls(
            passage=_share(weights, having),
            pairs=_pairs(question, alike, terms, 2),
            names=named / of_names if of_names else 0.5,
            missing=max((weights[term] for term in weights if term not in having), default=0.0),
            phrases=log1p(len(question.pairs & phrases(plain, 2))),
            long_phrases=log1p(len(question.triples & phrases(plain, 3))),
        )


def _features(
    question: Question,
    sentence: Sentence,
    around: frozenset[str],
    whole: _Passage,
    alike: _Alike,
) -> dict[str, float]:
    own, passage = _share(question.weights, sentence.having), whole.passage
    answers = _holds(question, sentence.text, alike)
    kind = question.kind
    return {
        "own": own,
        "around": _share(question.weights, around),
        "passage": passage,
        "passage_squared": passage * passage,
        "own_passage": own * passage,
        "pairs": whole.pairs,
        "own_near": _pairs(question, alike, sentence.terms, _NEAR),
        "names": whole.names,
        "missing": whole.missing,
        "asked": log1p(len(question.weights)),
        "phrases": whole.phrases,
        "long_phrases": whole.long_phrases,
        "number": float(kind is Kind.NUMBER and answers),
        "no_number": float(kind is Kind.NUMBER and not answers),
        "first": 1 / (1 + sentence.source),
        "no_name": float(kind is Kind.NAME and not answers),
        "length": log1p(len(sentence.terms)),
        "news": log1p(len({*sentence.terms} - alike.known(sentence.terms))),
    }


def _share(weights: Mapping[str, float], having: frozenset[str]) -> float:
    total = sum(weights.values())
    return sum(weights[term] for term in having) / total if total else 0.0


def _pairs(question: Question, alike: _Alike, terms: Sequence[str], apart: int) -> float:
    """Say how many of the question's neighbours are neighbours here, in their order, by their weights."""
    places: dict[str, list[int]] = {}
    for place, term in enumerate(terms):
        for asked in alike.asked(term):
            places.setdefault(asked, []).append(place)
    together = wanted = 0.0
    for left, right in pairwise(question.terms):
        weight = question.weights[left] + question.weights[right]
        wanted += weight
        behind = set(places.get(right, ()))
        if any(behind.intersection(range(place + 1, place + 1 + apart)) for place in places.get(left, ())):
            together += weight
    return together / wanted if wanted else 0.0


def _holds(question: Question, text: str, alike: _Alike) -> bool:
    """Tell whether a sentence has what the question calls for, and not only because the question has it."""
    if question.kind is Kind.ANY:
        return False
    words = _WORD.findall(text)
    asked = question.weights
    if question.kind is Kind.NUMBER:
        return any(_HAS_DIGIT.search(word) and word.casefold() not in asked for word in words)
    # The first word of a sentence has a capital in any case.
    return any(word[0].isupper() and not alike.asked(word.casefold()) for word in words[1:])


class _Alike:
    """Which terms of a question a term counts as: itself, and those that begin as it does."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._found: dict[str, tuple[str, ...]] = {term: (term,) for term in weights}
        self._beginnings: dict[str, list[str]] = {}
        for term in weights:
            self._beginnings.setdefault(term[:_COMMON_BEGINNING], []).append(term)

    def asked(self, term: str) -> tuple[str, ...]:
        """Return the question's terms that `term` counts as."""
        found = self._found.get(term)
        if found is None:
            near = self._beginnings.get(term[:_COMMON_BEGINNING], ())
            found = self._found[term] = tuple(each for each in near if _begin_alike(each, term))
        return found

    def of(self, terms: Sequence[str]) -> frozenset[str]:
        """Return all the question's terms that are among `terms`."""
        return frozenset(each for term in terms for each in self.asked(term))

    def known(self, terms: Sequence[str]) -> set[str]:
        """Return those of `terms` that the question has too."""
        return {term for term in terms if self.asked(term)}


def _begin_alike(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) < _COMMON_BEGINNING:
        return one == other
    common = next(
        (place for place, (left, right) in enumerate(zip(shorter, longer, strict=False)) if left != right),
        len(shorter),
    )
    return common >= max(_COMMON_BEGINNING, _COMMON_SHARE * len(longer))

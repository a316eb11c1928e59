"""Support by words: how much of a sentence stands in the passages, and how close together.

No model, no network, the same result everywhere. What it looks at:

* Words, by their stems. A word that stands in the best window of a passage counts in
  full where its neighbours in the sentence are beside it there too, and a little less where
  it stands alone; a word found only elsewhere counts for less than half,
  since in much text every word stands somewhere.
* Stop words of the language count for a fifth: they are everywhere, but a passage that
  has the sentence has them too.
* Numbers as a whole, in digits or (in English) words: 4.5 is not supported by 4 and 5.
* Few words are weak evidence either way. So a sentence begins with PRIOR_WORDS words that
  are supported by PRIOR: "That is great!" does not count as a lie, nor "In May." as proof.
* A question states nothing that a passage could support, so it counts half.

What it cannot see: **contradictions**. "The drug does not help" has all its words in "the
drug does help", and roles that were swapped ("Anna paid Ben") have all of them. Nor does
it know synonyms. Where that matters, use the judges `nli` or `openai`.

The numbers below were chosen on one half of the BEGIN benchmark, with contexts alone and
among forty foreign ones, and hold on the other half; docs/evaluation.md has the figures.
None of them is sharp: neighbouring values (0.6 for ALONE, 25 for WINDOW, 1 for PRIOR_WORDS)
move the figure by less than 0.004.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.answers import Statement, Support

STOP_WORD_WEIGHT: Final = 0.2
ALONE: Final = 0.8
"""What a word in the window counts without its neighbours; with both beside it, it counts 1."""
ELSEWHERE: Final = 0.4
"""What a word counts that only other places have."""
WINDOW: Final = 40
"""Words of a passage that are looked at together: two sentences, or a long one."""
BESIDE: Final = 4
"""How many words further on a neighbour is none any more."""
PRIOR_WORDS: Final = 2.0
PRIOR: Final = 0.75
QUESTION: Final = 0.5

_MAX_BATCH: Final = 64
_MOST_WORDS: Final = 1000
"""Of a sentence; what follows is not weighed."""
_MOST_PLACES: Final = 20_000
"""Of a word in all passages, the first ones: one that stands there more often says nothing about a place."""
_QUESTION_MARKS: Final = frozenset("?\uff1f\u061f\u037e\u055e\u1367\u2047\u2048")
_ORDINAL: Final = re.compile(r"(\d+)(?:s|st|nd|rd|th)")
_THOUSANDS: Final = 3
_ONES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen twenty"
)
_TENS: Final = "thirty forty fifty sixty seventy eighty ninety"
_ORDINALS: Final = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
    " fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
_NUMBER_WORDS: Final = {
    **{word: str(number) for number, word in enumerate(_ONES.split())},
    **{word: str(number) for number, word in enumerate(_ORDINALS.split(), 1)},
    **{word: str(10 * number) for number, word in enumerate(_TENS.split(), 3)},
}


class LexicalJudge:
    """A Judge that needs nothing but words."""

    max_batch = _MAX_BATCH

    def __init__(self, name: str, analyzer: Analyzer, *, language: str = "en") -> None:
        """`language` is that of statements that name none."""
        self._name = name
        self._analyzer = analyzer
        self._language = language

    @property
    def name(self) -> str:
        """What a request calls it."""
        return self._name

    def weigh(self, statements: Sequence[Statement]) -> list[Support]:
        """Weigh each statement by itself. Its question is not used: support means that passages say it."""
        # The sentences of an answer share their contexts, which are longer than they are.
        read: dict[tuple[str, tuple[str, ...]], _Passages] = {}
        supports = []
        for statement in statements:
            language = statement.language or self._language
            key = (language, tuple(statement.contexts))
            if key not in read:
                read[key] = _Passages([self._words(text, language) for text in statement.contexts])
            if any(text.strip() for text in statement.contexts):
                words = self._words(statement.text, language)[:_MOST_WORDS]
                supports.append(_support(words, read[key], asks=_asks(statement.text)))
            else:
                supports.append(Support(0.0))
        return supports

    def _words(self, text: str, language: str) -> list[_Word]:
        """Take a text apart into all its words, stemmed; those that the language leaves out count little."""
        stems = {token.start: token.term for token in self._analyzer.tokens(text, language)}
        words: list[_Word] = []
        end = 0
        for token in self._analyzer.tokens(text, ""):
            term, weight = stems.get(token.start, token.term), 1.0
            number = _number(token.term)
            if number:
                term = number
                if words and words[-1].digits and text[end : token.start] in (".", ","):
                    term = _joined(words.pop().term, text[end], number)
            elif language == "en" and token.term in _NUMBER_WORDS:
                term = _NUMBER_WORDS[token.term]
            elif token.start not in stems:
                weight = STOP_WORD_WEIGHT
            words.append(_Word(term, weight, digits=bool(number)))
            end = token.end
        return words


class _Word(NamedTuple):
    """A word as it is compared, and what it counts."""

    term: str
    weight: float
    digits: bool


class _Window(NamedTuple):
    """A stretch of a passage: places of its first and last word, both included."""

    first: int
    last: int


class _Passages:
    """Where each word stands in some passages. No window reaches from one into the next."""

    def __init__(self, passages: Sequence[Sequence[_Word]]) -> None:
        self._starts: list[int] = []
        self.places: dict[str, list[int]] = {}
        place = 0
        for passage in passages:
            self._starts.append(place)
            for word in passage:
                places = self.places.setdefault(word.term, [])
                if len(places) < _MOST_PLACES:
                    places.append(place)
                place += 1
            place += WINDOW + 1

    def number(self, place: int) -> int:
        """Say which passage a place is in, from 0."""
        return bisect_right(self._starts, place) - 1

    def best_window(self, weights: dict[str, float]) -> _Window | None:
        """Find the first window with most of the words, by weight; None where none stands anywhere."""
        met = sorted((place, term) for term in weights for place in self.places.get(term, ()))
        counts = dict.fromkeys(weights, 0)
        best, weight, first, window = 0.0, 0.0, 0, None
        for place, term in met:
            weight += 0.0 if counts[term] else weights[term]
            counts[term] += 1
            while met[first][0] <= place - WINDOW:
                gone = met[first][1]
                counts[gone] -= 1
                weight -= 0.0 if counts[gone] else weights[gone]
                first += 1
            if weight > best + 1e-9:  # sums of floats that went up and down
                best, window = weight, _Window(met[first][0], place)
        return window

    def inside(self, term: str, window: _Window) -> Sequence[int]:
        """Give a word's places in a window."""
        places = self.places.get(term, [])
        return places[bisect_left(places, window.first) : bisect_right(places, window.last)]


def _support(words: Sequence[_Word], passages: _Passages, *, asks: bool) -> Support:
    weights: dict[str, float] = {}
    for word in words:
        weights[word.term] = weights.get(word.term, 0.0) + word.weight
    window = passages.best_window(weights)
    found = 0.0
    if window:
        inside = [passages.inside(word.term, window) for word in words]
        # The ends of a sentence have a neighbour on one side alone; the other side counts as there.
        bonds = [1.0, *(_bond(left, right) for left, right in pairwise(inside)), 1.0]
        for word, places, before, behind in zip(words, inside, bonds, bonds[1:], strict=False):
            if places:
                found += word.weight * (ALONE + (1 - ALONE) * (before + behind) / 2)
            elif word.term in passages.places:
                found += word.weight * ELSEWHERE
    value = (found + PRIOR_WORDS * PRIOR) / (sum(weights.values()) + PRIOR_WORDS)
    return Support(value * (QUESTION if asks else 1.0), passages.number(window.first) if window else 0)


def _bond(left: Sequence[int], right: Sequence[int]) -> float:
    """Say how close one of `right` stands behind one of `left`: 1 for the next word, 0 from BESIDE on."""
    nearest = BESIDE
    for place in left:
        following = bisect_right(right, place)
        if following < len(right):
            nearest = min(nearest, right[following] - place)
    return (BESIDE - nearest) / (BESIDE - 1)


def _asks(text: str) -> bool:
    return text.rstrip()[-1:] in _QUESTION_MARKS


def _number(term: str) -> str:
    """Bring what begins with a digit to one form: "1970s" and "41st" without their ends; "" for a word."""
    if not any(map(str.isdecimal, term)):
        return ""
    if not term.isascii():
        term = "".join(str(unicodedata.decimal(each, each)) for each in term)
    whole = _ORDINAL.fullmatch(term)
    return whole[1] if whole else term


def _joined(before: str, mark: str, number: str) -> str:
    """Put the parts of "1,000.5" together: a comma before three digits only groups them."""
    return before + ("" if mark == "," and len(number) == _THOUSANDS else ".") + number

"""Texts taken apart into the words that lexical search compares.

One place for both sides: documents and queries go through it, and so do highlights,
so that what is marked is what was found. Three steps:

1. `runs`: stretches of letters, and stretches of a script that puts no spaces between
   words. Classes of characters come from the frozen table in `core.characters`.
2. `parts`: a run becomes words in the form in which they are compared (NFKC, without
   case). Combining marks stay with their letter: in Hindi or Thai they are vowels.
   What has no spaces becomes pairs of neighbouring characters, which overlap: without a
   dictionary, a pair is the best guess at a word. A character alone is itself.
3. An Analyzer stems, and leaves out stop words, where it knows the language.

Offsets stay those of the original text, in code points. Normalising first and cutting
then would be simpler, but nobody could say which letters of the text a word came from.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.characters import ALONE, IGNORED, LETTER, MARK, UNASSIGNED, character_classes

VERSION: Final = 1
"""Part of every Analyzer's version: must change whenever the words do."""

LONGEST_WORD: Final = 100
"""What a longer run of letters is cut to: such a thing is no word, and normalising takes quadratic time."""

MOST_QUERY_TERMS: Final = 256
"""How many different terms of a query are looked for, the first ones: each costs a walk over its list."""

_ZERO_WIDTH_SPACE: Final = 0x200B
_SURROGATES: Final = slice(0xD800, 0xE000)
_OUTSIDE, _WORD, _UNSPACED, _JOINS, _IGNORED = range(5)
_OF_WORDS: Final = frozenset({_WORD, _JOINS, _IGNORED})


class Token(NamedTuple):
    """A term and where it came from: `text[start:end]`, in code points."""

    term: str
    start: int
    end: int


class Analyzer(Protocol):
    """A port: takes texts apart into the terms that lexical search compares.

    `language` is an ISO 639-1 code; one that the analyzer does not know counts as "", which is no language.
    """

    @property
    def version(self) -> str:
        """Must change whenever the terms of any text do."""

    def terms(self, text: str, language: str) -> list[str]:
        """Take a text apart, in order. No term is empty or holds white space; all can be UTF-8.

        Blocks, for some 0.2 ms a thousand characters; called in any thread, several at once. Takes any text.
        """

    def joined(self, text: str, language: str) -> str:
        """Take a text apart likewise: the same terms with white space between them, in one text."""

    def tokens(self, text: str, language: str) -> list[Token]:
        """Take a text apart likewise: the same terms, each with the place in `text` that it came from.

        Places rise. Those of words do not overlap; those of pairs of characters do.
        """


class PlainAnalyzer:
    """An Analyzer that knows no language: words as they stand."""

    version = f"plain-{VERSION} unicode-{unicodedata.unidata_version}"

    def terms(self, text: str, language: str) -> list[str]:
        """Take a text apart into terms."""
        return [each.term for each in self.tokens(text, language)]

    def joined(self, text: str, language: str) -> str:
        """Take a text apart into terms with spaces between them."""
        return " ".join(self.terms(text, language))

    def tokens(self, text: str, language: str) -> list[Token]:  # noqa: ARG002 - there is none
        """Take a text apart into terms, and say where each stands."""
        return words(text)


def words(text: str) -> list[Token]:
    """Take a text apart into words as they are compared."""
    if text.isascii() and text.isalnum():
        # One word, as nearly all are that are asked for one by one: a tenth of what the arrays below cost.
        return parts(text)
    return [
        Token(term, start + first, start + last)
        for start, end in runs(text)
        for term, first, last in parts(text[start:end])
    ]


def runs(text: str) -> list[tuple[int, int]]:
    """Find the stretches of `text` that words are taken from, in order.

    In each, all characters are letters or digits with their marks, or none is.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    kinds = _kinds()[codes]
    joins = kinds >= _JOINS
    if joins.any():
        kinds = kinds[np.maximum.accumulate(np.where(joins, 0, np.arange(len(kinds))))]
        kinds[kinds >= _JOINS] = _OUTSIDE  # a text that begins with a mark
    edges = np.flatnonzero(np.diff(kinds, prepend=_OUTSIDE, append=_OUTSIDE))
    starts = edges[:-1]
    inside = kinds[starts] != _OUTSIDE
    return list(zip(starts[inside].tolist(), edges[1:][inside].tolist(), strict=True))


def parts(run: str) -> list[Token]:
    """Take one of `runs` apart into words as they are compared; offsets count from its start."""
    if run.isascii() and run.isalnum():
        return [Token(run[:LONGEST_WORD].lower(), 0, len(run))]
    kinds = _kind_bytes()
    if kinds[ord(run[0])] == _UNSPACED:
        return list(_pairs(run))
    word = folded(run[:LONGEST_WORD])
    if word and kinds[ord(word[0])] == _WORD and all(kinds[ord(each)] in _OF_WORDS for each in word):
        return [Token(word, 0, len(run))]
    # What one character stands for can be several words, or another script: no finer offsets are to be had.
    return [Token(part.term, 0, len(run)) for start, end in runs(word) for part in parts(word[start:end])]


def simple_pairs(run: str) -> list[str] | None:
    """Return the pairs of a run of plain letters of a script without spaces; None for any other run."""
    if len(run) < 2 or not run.isalnum() or run != folded(run):  # noqa: PLR2004 - a pair
        return None
    kinds = _kind_bytes()
    if any(kinds[ord(each)] != _UNSPACED for each in run):
        return None
    return [run[start : start + 2] for start in range(len(run) - 1)]


def folded(word: str) -> str:
    """Bring a word to the form in which it is compared: NFKC, no case, no format characters."""
    if word.isascii():
        return word.lower()
    whole = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())
    if whole.isalnum():
        return whole
    return "".join(each for each in whole if _kind_bytes()[ord(each)] != _IGNORED)


def query_terms(analyzer: Analyzer, text: str, language: str) -> dict[str, int]:
    """Return the terms that a query looks for, and how often each stands in it."""
    counts: dict[str, int] = {}
    for term in analyzer.terms(text, language):
        if term in counts:
            counts[term] += 1
        elif len(counts) < MOST_QUERY_TERMS:
            counts[term] = 1
    return counts


def _pairs(run: str) -> Iterator[Token]:
    """Give the pairs of neighbouring characters of a run; symbols, and a character alone, as themselves."""
    if (simple := simple_pairs(run)) is not None:
        for start, pair in enumerate(simple):
            yield Token(pair, start, start + 2)
        return
    row: list[Token] = []
    for each in _characters(run):
        if each.term[0].isalnum():
            row.append(each)
            continue
        yield from _of_row(row)
        row = []
        yield each
    yield from _of_row(row)


def _of_row(row: list[Token]) -> Iterator[Token]:
    if len(row) == 1:
        yield row[0]
    for left, right in pairwise(row):
        yield Token(left.term + right.term, left.start, right.end)


def _characters(run: str) -> Iterator[Token]:
    """Cut a run into characters as a reader sees them, each with its marks."""
    kinds = _kind_bytes()
    start = 0
    for end in range(1, len(run) + 1):
        if end < len(run) and kinds[ord(run[end])] >= _JOINS:
            continue
        term = folded(run[start : min(end, start + LONGEST_WORD)]).replace(" ", "")
        if term:
            yield Token(term, start, end)
        start = end


@cache
def _kinds() -> NDArray[np.uint8]:
    """Say of each code point what it does to a run: shape (0x110000,)."""
    classes = character_classes()
    kinds = np.full(len(classes), _OUTSIDE, dtype=np.uint8)
    kinds[classes == LETTER] = _WORD
    kinds[(classes == ALONE) | (classes == UNASSIGNED)] = _UNSPACED
    kinds[classes == MARK] = _JOINS
    kinds[classes == IGNORED] = _IGNORED
    # It is written where a word ends, in scripts that show no space there.
    kinds[_ZERO_WIDTH_SPACE] = _OUTSIDE
    # No text has them, and no index could store them.
    kinds[_SURROGATES] = _OUTSIDE
    kinds.flags.writeable = False
    return kinds


@cache
def _kind_bytes() -> bytes:
    """Give the same table, for single characters."""
    return _kinds().tobytes()

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
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import compress
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

_KEPT_CHARACTERS: Final = 4096
"""Characters, each with its marks, of which the term is kept: a text has few different symbols, and to work
one out takes ten times as long. They take 1 MB, or 4 where each has as many marks as are read."""

_SHORT: Final = 100
"""Up to here it is looked first whether a text is a single run, as most are that are asked for one by one:
a tenth of what arrays cost, which for short texts is always the same."""

_ZERO_WIDTH_SPACE: Final = 0x200B
_SURROGATES: Final = slice(0xD800, 0xE000)
_OUTSIDE, _WORD, _UNSPACED, _JOINS, _IGNORED = range(5)
_INSIDE: Final = frozenset({_WORD, _UNSPACED})
_JOINING: Final = frozenset({_JOINS, _IGNORED})
_OF_WORDS: Final = frozenset({_WORD, _JOINS, _IGNORED})


class Token(NamedTuple):
    """A term and where it came from: `text[start:end]`, in code points."""

    term: str
    start: int
    end: int


_Columns = tuple[list[str], Sequence[int], Sequence[int]]
"""Terms, where each starts and where it ends: what Tokens are made of, if anybody asks for those."""


class Analyzer(Protocol):
    """A port: takes texts apart into the terms that lexical search compares.

    `language` is an ISO 639-1 code; one that the analyzer does not know counts as "", which is no language.
    """

    @property
    def version(self) -> str:
        """Must change whenever the terms of any text do."""

    def terms(self, text: str, language: str) -> list[str]:
        """Take a text apart, in order. No term is empty or holds white space; all can be UTF-8.

        Blocks: a thousand characters of prose take some 0.05 ms, of symbols 0.5, of words never seen
        before up to 3; called in any thread, several at once. Takes any text.
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
    found = runs(text)
    if found == [(0, len(text))]:
        return parts(text)
    return [
        Token(term, start + first, start + last)
        for start, end in found
        for term, first, last in parts(text[start:end])
    ]


def bare_words(text: str) -> list[str]:
    """Take a text apart likewise into terms alone: to say where each stands takes longer than to find it."""
    if text.isascii() and text.isalnum():
        return [text[:LONGEST_WORD].lower()]
    if (pairs := _simple_pairs(text)) is not None:
        return pairs
    kinds = _kind_bytes()
    found: list[str] = []
    for start, end in runs(text):
        run = text[start:end]
        found += _unspaced(run)[0] if kinds[ord(run[0])] == _UNSPACED else [each.term for each in parts(run)]
    return found


def runs(text: str) -> list[tuple[int, int]]:
    """Find the stretches of `text` that words are taken from, in order.

    In each, all characters are letters or digits with their marks, or none is.
    """
    if 0 < len(text) <= _SHORT and _is_run(text):
        return [(0, len(text))]
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    kinds = _kinds()[codes]
    joins = kinds >= _JOINS
    if joins.any():
        kinds = kinds[np.maximum.accumulate(np.where(joins, 0, np.arange(len(kinds))))]
        kinds[kinds >= _JOINS] = _OUTSIDE  # a text that begins with a mark
    framed = np.full(len(kinds) + 2, _OUTSIDE, dtype=np.uint8)
    framed[1:-1] = kinds
    edges = np.flatnonzero(framed[1:] != framed[:-1])
    starts = edges[:-1]
    inside = kinds[starts] != _OUTSIDE
    return list(zip(starts[inside].tolist(), edges[1:][inside].tolist(), strict=True))


def parts(run: str) -> list[Token]:
    """Take one of `runs` apart into words as they are compared; offsets count from its start."""
    if run.isascii() and run.isalnum():
        return [Token(run[:LONGEST_WORD].lower(), 0, len(run))]
    kinds = _kind_bytes()
    if kinds[ord(run[0])] == _UNSPACED:
        return list(map(Token, *_unspaced(run)))
    word = folded(run[:LONGEST_WORD])
    if word and kinds[ord(word[0])] == _WORD and all(kinds[ord(each)] in _OF_WORDS for each in word):
        return [Token(word, 0, len(run))]
    # What one character stands for can be several words, or another script: no finer offsets are to be had.
    return [Token(part.term, 0, len(run)) for start, end in runs(word) for part in parts(word[start:end])]


def folded(word: str) -> str:
    """Bring a word to the form in which it is compared: NFKC, no case, no format characters."""
    if word.isascii():
        return word.lower()
    whole = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())
    if whole.isalnum():
        return whole
    kinds = _kind_bytes()
    return "".join([each for each in whole if kinds[ord(each)] != _IGNORED])


def query_terms(analyzer: Analyzer, text: str, language: str) -> dict[str, int]:
    """Return the terms that a query looks for, and how often each stands in it."""
    counts: dict[str, int] = {}
    for term in analyzer.terms(text, language):
        if term in counts:
            counts[term] += 1
        elif len(counts) < MOST_QUERY_TERMS:
            counts[term] = 1
    return counts


def _is_run(text: str) -> bool:
    """Whether all of a text is one of `runs`, for short ones."""
    found = _kinds_of(text)
    return _kind_bytes()[ord(text[0])] in _INSIDE and len(found - _JOINING) == 1


def _simple_pairs(run: str) -> list[str] | None:
    """Return the pairs of a run of plain letters of a script without spaces; None for any other text."""
    if len(run) < 2 or _kind_bytes()[ord(run[0])] != _UNSPACED or not run.isalnum():  # noqa: PLR2004 - a pair
        return None
    if run != folded(run) or _kinds_of(run) != {_UNSPACED}:
        return None
    return [run[start : start + 2] for start in range(len(run) - 1)]


def _unspaced(run: str) -> _Columns:
    """Give the pairs of neighbouring characters of a run; symbols, and a character alone, as themselves."""
    if (pairs := _simple_pairs(run)) is not None:
        return pairs, range(len(pairs)), range(2, len(run) + 1)
    characters = _characters(run)
    terms, starts, ends = characters
    letters = [each[0].isalnum() for each in terms]
    if not any(letters):
        return characters
    sides = zip([False, *letters], letters, [*letters[1:], False], strict=False)
    spans = [
        (at - (this and before), at)
        for at, (before, this, after) in enumerate(sides)
        if not this or before or not after
    ]
    return (
        [terms[first] + terms[last] if first < last else terms[last] for first, last in spans],
        [starts[first] for first, _ in spans],
        [ends[last] for _, last in spans],
    )


def _characters(run: str) -> _Columns:
    """Cut a run into characters as a reader sees them, each with its marks."""
    starts: Sequence[int] = range(len(run))
    ends: Sequence[int] = range(1, len(run) + 1)
    if _kinds_of(run) == {_UNSPACED}:
        terms = list(map(_character, run))
    else:
        kinds = _kind_bytes()
        starts = [at for at, each in enumerate(run) if kinds[ord(each)] == _UNSPACED]
        ends = [*starts[1:], len(run)]
        cuts = [min(end, start + LONGEST_WORD) for start, end in zip(starts, ends, strict=True)]
        terms = [_character(run[start:cut]) for start, cut in zip(starts, cuts, strict=True)]
    if all(terms):
        return terms, starts, ends
    return list(filter(None, terms)), list(compress(starts, terms)), list(compress(ends, terms))


@lru_cache(_KEPT_CHARACTERS)
def _character(text: str) -> str:
    """Return a character as it is compared, which can be several, or none."""
    return folded(text).replace(" ", "")


def _kinds_of(text: str) -> set[int]:
    return set(map(_kind_bytes().__getitem__, map(ord, text)))


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

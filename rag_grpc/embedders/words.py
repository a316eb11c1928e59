"""Texts taken apart into words, as arrays, the same on every platform and in every Python.

What the mock embedder stands on. Two texts that Unicode calls equivalent give the
same words (NFKC and case folding), combining marks stay with their letters, and
scripts that put no spaces between words give one word a character.

Vectors are stored and compared for years, so nothing here may drift with Python:
character classes come from a frozen table, not from `unicodedata.category`,
and characters newer than the table are moved to private use before they are
normalised, where every Python leaves them alone. For the older ones Unicode promises
that normalisation and case folding never change.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.characters import (
    ALONE,
    IGNORED,
    LETTER,
    MARK,
    SEPARATOR,
    UNASSIGNED,
    Classes,
    character_classes,
)

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]

# Longer runs of combining marks are cut. No language comes near it (Unicode's stream-safe format has the
# same bound), and CPython sorts a run of marks in quadratic time when it normalises.
MAX_MARKS: Final = 30

_PRIVATE_USE: Final = 0xF0000
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_BASE: Final = np.uint64(0xD1342543DE82EF95)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of several texts in order. One entry a word, save `letters`.

    `hashes`: 64 bits, equal for equal words. `owners`: index of the word's text. `starts`, `lengths`: the
    word is `letters[start : start + length]`, code points. `alone`: it stands for one character of a script
    without spaces, or for a symbol.
    """

    hashes: Hashes
    owners: Ints
    starts: Ints
    lengths: Ints
    alone: NDArray[np.bool_]
    letters: Hashes


def mixed(x: Hashes) -> Hashes:
    """Spread each number over 64 bits, reversibly: the finaliser of splitmix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def fold(text: str) -> str:
    """Bring a text to the form in which words are compared: NFKC, without case."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", _stable(text)).casefold()
    return unicodedata.normalize("NFKC", folded)


def split_words(texts: Sequence[str]) -> Words:
    """Take texts apart into words. Any text will do: lone surrogates, NUL and the empty one, too."""
    folded = [fold(text) for text in texts]
    codes = _codes("\0".join([*folded, ""]))  # every text ends with a separator
    owners = np.repeat(np.arange(len(folded)), [len(text) + 1 for text in folded])
    classes = character_classes()[codes]
    if (classes == IGNORED).any():
        kept = classes != IGNORED
        codes, owners, classes = codes[kept], owners[kept], classes[kept]
    begins = _word_begins(classes)
    inside = np.flatnonzero(classes != SEPARATOR)
    letters = codes[inside].astype(np.uint64)
    starts = np.flatnonzero(begins[inside])
    lengths = np.diff(np.append(starts, len(letters)))
    first = inside[starts]
    return Words(
        hashes=_hash(letters, starts, lengths),
        owners=owners[first],
        starts=starts,
        lengths=lengths,
        alone=classes[first] == ALONE,
        letters=letters,
    )


class WordTokenizer:
    """A Tokenizer whose tokens are words, where they stand in the text as it is, before any folding.

    Marks and punctuation between words are in none. `split_words` may see another word here and there, where
    NFKC makes several characters of one: this is for counting.
    """

    def token_offsets(self, text: str) -> Ints:
        """Where each word stands: shape (words, 2), start and end in code points."""
        classes = character_classes()[_codes(text)]
        kept = np.flatnonzero(classes != IGNORED)
        classes = classes[kept]
        begins = _word_begins(classes)
        inside = np.flatnonzero(classes != SEPARATOR)
        starts = np.flatnonzero(begins[inside])
        lasts = inside[np.append(starts[1:], len(inside))[: len(starts)] - 1]
        return np.stack((kept[inside[starts]], kept[lasts] + 1), axis=1).astype(np.int64)


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32, copy=False)


def _stable(text: str) -> str:
    """Replace what this Python may normalise otherwise than another, or in quadratic time."""
    codes = _codes(text)
    classes = character_classes()[codes]
    unassigned = classes == UNASSIGNED
    if unassigned.any():
        codes = np.where(unassigned, _PRIVATE_USE | (codes & np.uint32(0x7FFF)), codes)
    marks = classes == MARK
    place = np.arange(len(codes))
    in_run = place - np.maximum.accumulate(np.where(marks, -1, place))
    if not unassigned.any() and not (in_run > MAX_MARKS).any():
        return text
    return codes[in_run <= MAX_MARKS].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _word_begins(classes: Classes) -> NDArray[np.bool_]:
    """Tell for each character whether a word begins there."""
    place = np.arange(len(classes))
    # A mark has the class of the letter before it; after a separator it is a letter of its own.
    after_separator = np.concatenate(([True], classes[:-1] == SEPARATOR))
    bases = np.where((classes == MARK) & ~after_separator, 0, place)
    resolved = classes[np.maximum.accumulate(bases)]
    before = np.concatenate(([np.uint8(SEPARATOR)], resolved[:-1]))
    begins: NDArray[np.bool_] = (
        (before == SEPARATOR) | (classes == ALONE) | ((classes == LETTER) & (before == ALONE))
    )
    begins &= classes != SEPARATOR
    return begins


def _hash(letters: Hashes, starts: Ints, lengths: Ints) -> Hashes:
    """Hash each word: a polynomial of its letters modulo 2^64, so that one pass serves all words."""
    if not len(starts):
        return np.empty(0, dtype=np.uint64)
    places = np.arange(len(letters)) - np.repeat(starts, lengths)
    powers = np.cumprod(np.full(int(lengths.max()), _BASE))
    terms = mixed((letters + np.uint64(1)) * _GOLDEN) * powers[places]
    return mixed(np.add.reduceat(terms, starts))

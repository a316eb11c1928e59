"""The embedder that needs no model: signed feature hashing, for tests, demos and first steps.

A text's features are its words, pairs of neighbouring words, and the character
trigrams of its words, so that inflected forms of a word are near as well. Each
feature is hashed to one of 384 places and to a sign, and its weight is added there:
texts with words in common are near, and features that share a place cancel out on
average. It knows nothing of meaning: "car" and "automobile" are strangers.

**The same bits everywhere.** Hashes are our own (Python's differ between
processes). Weights and sums are integers, exact in whatever order they are added.
Only the last two steps round, and IEEE 754 rounds them correctly on every machine:
the square root of the sum of squares, and one division.

**The weights** were chosen by dense recall@5 on SQuAD questions, SciFact's train
claims, product documentation and XQuAD in six languages; benchmarks/embedder_recall.py
measures it. On 1,000 SQuAD questions that were not looked at before, it is 0.74. What
counts: how often a word stands in a text says little, so it goes in by its bit length;
the words that every English text has tell nothing and are kept only so that "who is it"
is not nothing; short words of any language tell less than long ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.characters import character_classes
from rag_grpc.embedders.words import Hashes, Ints, Words, WordTokenizer, mixed, split_words

DIMENSION: Final = 384
VERSION: Final = 1

WORD: Final = 8
"""Weight of a word for each of its letters, of which at most LETTERS count."""
LETTERS: Final = 4
PAIR: Final = 2
"""Weight of a pair, likewise, by the letters of its shorter word."""
TRIGRAM: Final = 3
"""Weight of each trigram of a word, likewise."""
FUNCTION_WORD: Final = 1
"""Weight of a function word, whatever its length. It is in no pair and has no trigrams."""

# English only, because questions are asked in whole sentences and passages answer in others: without this
# list, what a question and a passage have in common is mostly "what is the". For other languages the weight
# by length does part of that.
FUNCTION_WORDS: Final = (
    "a about after all also an and are as at be been before being between both but by can could did do does "
    "during for from had has have he her his how i if in into is it its many may more most much no not of on "
    "one or other our out over she should so some such than that the their them then there these they this "
    "those through to under up use used was we were what when where which while who whom whose why will with "
    "would you your"
)

_PAIR_SALT: Final = np.uint64(0xA24BAED4963EE407)
_TRIGRAM_SALT: Final = np.uint64(0x9FB21C651E98DF25)
_SLICE_CHARACTERS: Final = 1 << 16


class MockEmbedder:
    """An Embedder without a model: 384 dimensions, L2-normalised, safe to call from any thread."""

    name = "mock"
    dimension = DIMENSION
    max_batch = 256
    max_tokens = 0
    tokenizer = WordTokenizer()
    # It knows words alone, as lexical search does, and weighs them worse: it breaks ties there, and finds
    # what has no word in common. Chosen on SciFact's train claims (0.696 nDCG@10 as with words alone; 0.691
    # with 0.1) and on SQuAD questions that no figure is reported of (0.878, words alone 0.877).
    dense_weight = 0.05

    @property
    def fingerprint(self) -> str:
        """`mock-<version>-<dimension>-<8 hex>`; the hex covers weights, function words and the table."""
        return _fingerprint()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts of any length: shape (len(texts), 384), float32, each of length 1.

        A text without a single word, the empty one for example, gets the first unit vector.
        """
        vectors = np.empty((len(texts), DIMENSION), dtype=np.float32)
        for part in _slices(texts):
            vectors[part] = _normalised(_sums(split_words(texts[part]), part.stop - part.start))
        return vectors

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed queries: as any text."""
        return self.embed(texts)


@cache
def _fingerprint() -> str:
    parameters = (WORD, LETTERS, PAIR, TRIGRAM, FUNCTION_WORD, FUNCTION_WORDS)
    digest = hashlib.sha256(repr((VERSION, DIMENSION, *parameters)).encode())
    digest.update(character_classes().tobytes())
    return f"mock-{VERSION}-{DIMENSION}-{digest.hexdigest()[:8]}"


@cache
def _function_words() -> Hashes:
    return np.sort(split_words([FUNCTION_WORDS]).hashes)


def _slices(texts: Sequence[str]) -> Iterator[slice]:
    """Cut a batch into runs of texts whose arrays stay small enough for the processor's cache."""
    start = size = 0
    for index, text in enumerate(texts):
        if size and size + len(text) > _SLICE_CHARACTERS:
            yield slice(start, index)
            start, size = index, 0
        size += len(text)
    if start < len(texts):
        yield slice(start, len(texts))


@dataclass(frozen=True, slots=True)
class _Features:
    """Weighted features of several texts, an entry each."""

    hashes: Hashes
    owners: Ints
    weights: Ints


def _sums(words: Words, texts: int) -> NDArray[np.float64]:
    """Add the weights up by place: shape (texts, DIMENSION), whole numbers below 2^53."""
    sums = np.zeros(texts * DIMENSION)
    if len(words.hashes):
        distinct = _Distinct(words)
        for features in (distinct.words(), distinct.pairs(), distinct.trigrams()):
            place = ((features.hashes >> np.uint64(33)) % np.uint64(DIMENSION)).astype(np.int64)
            negative = (features.hashes >> np.uint64(32)) & np.uint64(1) == 1
            signed = np.where(negative, -features.weights, features.weights).astype(np.float64)
            sums += np.bincount(features.owners * DIMENSION + place, signed, minlength=len(sums))
    return sums.reshape(texts, DIMENSION)


def _normalised(sums: NDArray[np.float64]) -> NDArray[np.float32]:
    """Bring each row to length 1. Whole numbers in; the squares are added as integers."""
    whole = sums.astype(np.int64)
    squares = (whole * whole).sum(axis=1)
    empty = squares == 0
    whole[empty, 0] = 1
    squares[empty] = 1
    lengths = np.sqrt(squares.astype(np.float64))
    vectors: NDArray[np.float64] = whole / lengths[:, np.newaxis]
    return vectors.astype(np.float32)


class _Distinct:
    """The distinct words of each text: each is weighed once, by how often it stands there."""

    def __init__(self, words: Words) -> None:
        self._words = words
        keys = mixed(words.hashes + words.owners.astype(np.uint64))
        _, self._first, self._distinct_of, counts = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True
        )
        self._hashes = words.hashes[self._first]
        self._owners = words.owners[self._first]
        self._is_function_word = _found_in(_function_words(), self._hashes)
        self._letters = np.where(words.alone, LETTERS, np.minimum(words.lengths, LETTERS))[self._first]
        self._letters[self._is_function_word] = 0
        self._tf = _bit_length(counts)

    def words(self) -> _Features:
        weights = np.where(self._is_function_word, FUNCTION_WORD, WORD * self._letters)
        return _Features(self._hashes, self._owners, weights * self._tf)

    def pairs(self) -> _Features:
        """Neighbours within a text."""
        hashes, owners = self._words.hashes, self._words.owners
        letters = self._letters[self._distinct_of]
        shorter = np.minimum(letters[:-1], letters[1:])
        left = np.flatnonzero((owners[:-1] == owners[1:]) & (shorter > 0))
        pair = mixed(hashes[left] * np.uint64(3) + mixed(hashes[left + 1] ^ _PAIR_SALT))
        _, first, counts = np.unique(
            mixed(pair + owners[left].astype(np.uint64)), return_index=True, return_counts=True
        )
        weights = PAIR * shorter[left[first]] * _bit_length(counts)
        return _Features(pair[first], owners[left[first]], weights)

    def trigrams(self) -> _Features:
        """Every letter with the one before and the one behind it; 0 stands for the word's edge."""
        words = self._words
        chosen = np.flatnonzero(~self._is_function_word & ~words.alone[self._first])
        lengths = words.lengths[self._first[chosen]]
        of = np.repeat(chosen, lengths)
        ends = np.cumsum(lengths)
        offset = np.arange(len(of)) - np.repeat(ends - lengths, lengths)
        letter = np.repeat(words.starts[self._first[chosen]], lengths) + offset
        padded = np.concatenate((np.zeros(1, np.uint64), words.letters, np.zeros(1, np.uint64)))
        before = np.where(offset > 0, padded[letter], np.uint64(0))
        behind = np.where(offset + 1 < np.repeat(lengths, lengths), padded[letter + 2], np.uint64(0))
        middle = words.letters[letter]
        hashes = mixed((before << np.uint64(42)) ^ (middle << np.uint64(21)) ^ behind ^ _TRIGRAM_SALT)
        return _Features(hashes, self._owners[of], TRIGRAM * (self._letters * self._tf)[of])


def _found_in(ordered: Hashes, wanted: Hashes) -> NDArray[np.bool_]:
    places = np.searchsorted(ordered, wanted)
    found: NDArray[np.bool_] = ordered[np.minimum(places, len(ordered) - 1)] == wanted
    return found


def _bit_length(counts: Ints) -> Ints:
    """1 for 1, 2 for 2 and 3, 3 for 4 to 7, and so on; frexp is exact for whole numbers below 2^53."""
    return np.frexp(counts)[1].astype(np.int64)

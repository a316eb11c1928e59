"""The analyzer: Snowball's stemmers, and the stop words that come with tantivy.

Stemming makes "indexing" and "indexed" one term; stop words ("the", "of") are in most
texts, so they say nothing and cost most. Both are a matter of language. A collection
that names none, or one that Snowball does not know (Chinese needs no stems), gets
neither: its words are compared as they stand.

Both sides of a search go through the same analysis, so a stem need not be a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import chain
from threading import Lock
from typing import Any, Final

import Stemmer  # type: ignore[import-not-found]  # it ships no annotations
import tantivy

from rag_grpc.core.analysis import LONGEST_WORD, VERSION, Token, bare_words, runs, words

ALGORITHMS: Final = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "eo": "esperanto",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "nb": "norwegian",
    "ne": "nepali",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "st": "sesotho",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}
"""Snowball's stemmer of each ISO 639-1 code. `porter` is left out: `english` is its author's better one."""

STOP_WORDS: Final = frozenset(
    {"da", "de", "en", "es", "fi", "fr", "hu", "it", "nb", "nl", "nn", "no", "pt", "ru", "sv"}
)
"""Languages of which tantivy has Snowball's list (for English, Lucene's shorter one)."""

# 's, n't and their like are no part of the word that somebody looks for.
_ENGLISH_ENDINGS: Final = re.compile(r"['\u2019](?<=\w.)(?:s|t|re|ve|ll|d|m)(?!\w)", re.IGNORECASE)
# Stretches between white space and ASCII punctuation. What is a word in them is worked out once for each:
# most come again, and a text is taken apart by one expression and a look-up a word.
_STRETCHES: Final = re.compile("[0-9A-Za-z\\x80-\\U0010ffff]+")

_BLANKED: Final = {code: " " for code in range(128) if not chr(code).isalnum()}
"""What is no word of an ASCII text, for str.translate."""

CACHED_WORDS: Final = 100_000
"""Of one language, as terms or as tokens: a text is mostly words that came before. 100,000 words of nine
letters take some 14 to 20 MB as terms and 30 to 45 MB as tokens."""
CACHED_IN_ALL: Final = 200_000
"""Of all languages together, since a request may name any language: 200,000 each would be gigabytes."""
CACHED_LENGTH: Final = 32
CACHED_TERMS: Final = 4
"""What has more is a phrase without spaces: it hardly comes again and takes up to twenty times as much."""
_COUNTED_EACH: Final = 256
"""Words after which a cache looks at all the others, so that a new word hardly costs more for it."""


class SnowballAnalyzer:
    """An Analyzer. See the port for what is promised; any thread may call it."""

    def __init__(self) -> None:
        self._room = _Room()
        self._making = Lock()
        self._languages: dict[str, _Language] = {"": _Language("", self._room)}

    @property
    def version(self) -> str:
        """Changes with the rules, and with the libraries that rules come from."""
        libraries = f"snowball-{Stemmer.version()} tantivy-{version('tantivy')}"
        return f"{VERSION} unicode-{unicodedata.unidata_version} {libraries}"

    def terms(self, text: str, language: str) -> list[str]:
        """Take a text apart into terms."""
        return self._language(language).terms(text)

    def joined(self, text: str, language: str) -> str:
        """Take a text apart into terms with white space between them."""
        return self._language(language).joined(text)

    def tokens(self, text: str, language: str) -> list[Token]:
        """Take a text apart into terms, and say where each stands."""
        return self._language(language).tokens(text)

    def _language(self, language: str) -> _Language:
        found = self._languages.get(language)
        if found is None:
            if language not in ALGORITHMS:
                return self._languages[""]
            with self._making:
                found = self._languages.get(language) or _Language(language, self._room)
                self._languages[language] = found
        return found


class _Room:
    """What the caches of all languages may hold together."""

    def __init__(self) -> None:
        self._caches: list[dict[str, Any]] = []

    def share(self, cache: dict[str, Any]) -> None:
        """Count this cache too, from now on."""
        self._caches.append(cache)

    def keep(self, cache: dict[str, Any], stretch: str, found: Sequence[Any]) -> None:
        """Put into `cache` what was found in `stretch`, if that is likely to be asked for again."""
        if len(stretch) > CACHED_LENGTH or len(found) > CACHED_TERMS:
            return
        if len(cache) >= CACHED_WORDS:
            cache.clear()
        elif len(cache) % _COUNTED_EACH == 0 and sum(map(len, self._caches)) >= CACHED_IN_ALL:
            max(self._caches, key=len).clear()
        cache[stretch] = found


class _Language:
    """The rules of one language."""

    def __init__(self, language: str, room: _Room) -> None:
        self._english = language == "en"
        self._turkish = language == "tr"
        self._stands = language not in ALGORITHMS
        self._words = _Words(language, room)
        self._pieces = _Pieces(self._words, room)

    def terms(self, text: str) -> list[str]:
        text = self._prepared(text)
        if text.isascii():
            text = text.lower()
        return list(chain.from_iterable(map(self._words.__getitem__, _STRETCHES.findall(text))))

    def joined(self, text: str) -> str:
        if self._stands and text.isascii():
            # Words as they stand: an eighth of the time of a look-up for each. None is cut, unless it is so
            # long that it fills one of these pieces.
            blanked = text.lower().translate(_BLANKED)
            pieces = range(0, len(blanked), LONGEST_WORD // 2)
            if not any(blanked[begin : begin + LONGEST_WORD // 2].isalnum() for begin in pieces):
                return blanked
        return " ".join(self.terms(text))

    def tokens(self, text: str) -> list[Token]:
        text = self._prepared(text)
        return [
            Token(term, match.start() + first, match.start() + last)
            for match in _STRETCHES.finditer(text)
            for term, first, last in self._pieces[match[0]]
        ]

    def _prepared(self, text: str) -> str:
        """Blank out what the language does not count as words; no offset changes."""
        if self._english and ("'" in text or "\u2019" in text):
            text = _ENGLISH_ENDINGS.sub(lambda match: " " * len(match[0]), text)
        if self._turkish:
            # Their capitals are others: without this, casefold would make two letters of the second.
            text = text.replace("I", "\u0131").replace("\u0130", "i")
        return text


class _Words(dict[str, tuple[str, ...]]):
    """The terms of each stretch that came before; others are worked out when they are asked for."""

    def __init__(self, language: str, room: _Room) -> None:
        super().__init__()
        self._room = room
        room.share(self)
        algorithm = ALGORITHMS.get(language)
        # Stemmers have a state, and a cache of their own that would be a second one.
        self._lock = Lock()
        self._stem: Any = Stemmer.Stemmer(algorithm, 0) if algorithm else None
        self._stop = _stop_filter(algorithm) if algorithm and language in STOP_WORDS else None

    def __missing__(self, stretch: str) -> tuple[str, ...]:
        if len(stretch) > CACHED_LENGTH:
            # As a rule a sentence without spaces. It does not come again, its parts may.
            found = [stretch[start:end] for start, end in runs(stretch)]
            if found != [stretch]:
                return tuple(chain.from_iterable(map(self.__getitem__, found)))
        terms = bare_words(stretch)
        if self._stem is not None:
            stems = self._stems(terms)
            terms = [stems[each] for each in terms if stems.get(each)]
        # Most words are their own term: as one object, they take two thirds of the memory.
        kept = (stretch,) if terms == [stretch] else tuple(terms)
        self._room.keep(self, stretch, kept)
        return kept

    def tokens(self, stretch: str) -> list[Token]:
        """Work out the tokens of a stretch; offsets count from its start."""
        found = words(stretch)
        if self._stem is None:
            return found
        stems = self._stems(each.term for each in found)
        return [
            each if stems[each.term] == each.term else each._replace(term=stems[each.term])
            for each in found
            if stems.get(each.term)
        ]

    def _stems(self, terms: Iterable[str]) -> dict[str, str]:
        """Work out the stem of each term that is no stop word, once each; it can be empty."""
        known = list(set(terms))
        if self._stop is not None:
            known = self._stop.analyze(" ".join(known))
        with self._lock:
            return dict(zip(known, self._stem.stemWords(known), strict=True))


class _Pieces(dict[str, list[Token]]):
    """The tokens of each stretch that came before."""

    def __init__(self, source: _Words, room: _Room) -> None:
        super().__init__()
        self._words = source
        self._room = room
        room.share(self)

    def __missing__(self, stretch: str) -> list[Token]:
        tokens = self._words.tokens(stretch)
        self._room.keep(self, stretch, tokens)
        return tokens


def _stop_filter(algorithm: str) -> tantivy.TextAnalyzer:
    """Make an analyzer that leaves out stop words from terms with white space between them."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
        .filter(tantivy.Filter.stopword(algorithm))
        .build()
    )

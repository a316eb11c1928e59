"""A text taken apart into sentences, whatever its script.

An answer is cited, weighed and marked sentence by sentence, so the pieces must be whole
and no larger than a claim. Nothing here knows the language of a text: a stop ends a
sentence in all of them, and what is no end looks the same in most ("Dr. Li", "3.14",
"e.g. this", "J. S. Bach"). The names of abbreviations stand in `core.abbreviations`.

Why not a library: pySBD has not changed since 2021; sentencex is kept well, but must be
told the language, cuts "1." from its item, and joins the last item of a list with what
follows it. Answers of models are full of lists.

Where it errs: an abbreviation that it does not know, before a capital, ends a sentence;
a sentence that ends in one that it knows, before a name, does not. Thai, Lao and Khmer
put spaces where others put stops: there a line is a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rag_grpc.core.abbreviations import NEVER_LAST, NUMBERED, ORDINAL_BEFORE, SELDOM_LAST, STARTERS
from rag_grpc.core.models import TextSpan

LONGEST_SENTENCE: Final = 1000
"""What has more characters is cut at white space: no claim is that long, but a page without stops is."""

_LINE_ENDS: Final = "\n\r\v\f\x85\u2028\u2029"
# ASCII's stops and the ellipsis also stand within sentences, so white space must follow.
_STOPS_BEFORE_SPACE: Final = ".!?\u2026\u203c\u2047\u2048\u2049"
# All others end sentences and do nothing else. Chinese, Japanese, full-width and half-width; Arabic and Urdu;
# Armenian, Devanagari and its neighbours, Ethiopic, Burmese, Khmer, Tibetan, Mongolian.
_STOPS: Final = (
    "\u3002\uff01\uff1f\uff61\uff0e\u061f\u06d4\u0589\u0964\u0965\u1362\u1367\u104a\u104b\u17d4\u17d5\u0f0d\u0f0e"
    "\u1803\u1809"
)
_CLOSERS: Final = "\"')\\]}\u2019\u201d\u00bb\u203a\u300d\u300f\u3011\u300b\uff09*_`"
_OPENERS: Final = "\"'(\\[{\u2018\u201c\u201e\u00ab\u2039\u300c\u300e\u3010\u300a\uff08*_`\u00bf\u00a1"
# [1], [2, 3], [4-6], [^1], with full-width brackets, or a link behind it. They stay with what they follow.
_NUMBERS: Final = r"\^?\d{1,4}(?:\s?[,;\u2013-]\s?\d{1,4}){0,20}"
_CITATION: Final = (
    rf"(?:[\[\u3010]{_NUMBERS}[\]\u3011](?:\([^()\s]{{0,500}}\))?|[\u00b9\u00b2\u00b3\u2070-\u2079]+)"
)
_CITATIONS: Final = re.compile(rf"(?:\s*{_CITATION})+\s*[{_STOPS_BEFORE_SPACE}{_STOPS}]?\s*")
# As Wikipedia has them, with no space before them: [citation needed], [note 1], :162-164.
_NOTE: Final = r"(?:\[(?![\d^])[^\[\]\n]{1,40}\]|:\d{1,4}(?:[,\u2013-]\d{1,4})*)"

# Groups are not repeated possessively, which Python before 3.11.5 does wrongly (python/cpython#106052).
# Where a sentence may end: after stops, with closing marks and citations; or at the end of a line. Blank
# lines, and white space before the next visible character, are part of the line's end.
_END: Final = re.compile(
    rf"(?P<stops>[{_STOPS_BEFORE_SPACE}{_STOPS}]++)"
    rf"(?P<close>[{_CLOSERS}]*+{_NOTE}*(?:[ \t]*+{_CITATION})*[{_CLOSERS}]*+)"
    rf"|(?P<line>\r\n|[{_LINE_ENDS}])\s*+"
)
_ANY_LINE_END: Final = re.compile(f"[{_LINE_ENDS}]")
_LIST_ITEM: Final = re.compile(
    r"[ \t]*(?:[-*+\u2022\u2023\u25cf\u25aa\u2013\u2014]\s|\(?(?:\d{1,4}|[A-Za-z])[.)]\s"
    r"|#{1,6}\s|>|\||`{3}|~{3})"
)
_HEADING: Final = re.compile(r"[ \t]*(?:#{1,6}\s|\||`{3}|~{3})")
_MARKER: Final = re.compile(r"[ \t>]*(?:[-*+\u2022]\s+)?\(?(?:\d{1,4}|[A-Za-z])\Z")
_BEGINS: Final = re.compile(rf"[{_OPENERS}]*+(\w[\w'\u2019-]*)?")
_LAST_WORD: Final = re.compile(r"[^\W_](?:[\w.'\u2019-]*\w)?\Z")
_INITIALS: Final = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]\Z")
_WHITE_SPACE: Final = re.compile(r"\s*+")
_LONGEST_WORD: Final = 40
"""So far back is looked for an abbreviation."""
_JAPANESE_GOES_ON: Final = frozenset("とのっなはがをにでも")
_WRAP_WIDTH: Final = 40
"""Lines are taken to be wrapped where the longest beside them has so many characters."""


def sentences(text: str) -> list[TextSpan]:
    """Find the sentences of a text: spans in code points, in order, none touching another's inside.

    Each begins and ends with a visible character, and every visible character is in one. A citation such as
    [1], and marks without a letter or digit, are part of the sentence before them. Takes any text, in time
    that grows with its length: some 2 ms for ten thousand characters.
    """
    spans: list[TextSpan] = []
    start = 0
    for end in _ends(text):
        for span in _pieces(text, start, end):
            if spans and _belongs_to_the_last(text[span.start : span.end]):
                spans[-1] = TextSpan(spans[-1].start, span.end)
            else:
                spans.append(span)
        start = end
    if len(spans) > 1 and not _has_words(text[spans[0].start : spans[0].end]):
        spans[:2] = [TextSpan(spans[0].start, spans[1].end)]
    return spans


def _ends(text: str) -> Iterator[int]:
    """Give the places where sentences end, in order; last the text's own."""
    lines = _Lines(text)
    # Where nobody writes capitals, a small letter does not say that a sentence goes on.
    without_capitals = text == text.lower()
    start = 0
    for found in _END.finditer(text):
        if found["line"]:
            ended = lines.ends(found)
        else:
            begin = max(start, lines.start)
            ended = _stop_ends(text, begin, found, without_capitals=without_capitals)
        if ended:
            start = found.end()
            yield start
    yield len(text)


def _stop_ends(text: str, start: int, found: re.Match[str], *, without_capitals: bool) -> bool:
    """Tell whether a stop ends the sentence or line that began at `start`."""
    stops, close, end = found["stops"], found["close"], found.end()
    behind = text[end : end + 1]
    if stops.strip(_STOPS_BEFORE_SPACE):
        # Japanese: "...。」と言った。" quotes, and goes on.
        return not (close and behind in _JAPANESE_GOES_ON)
    if behind and not behind.isspace():
        # "It rained.[1]It froze." is meant to be two; "setup.py" and "U.S." are not.
        return close.endswith(("]", "\u3011")) and behind.isupper()
    if not behind or behind in _LINE_ENDS:
        word = ""
    else:
        begins = _BEGINS.match(text, _visible(text, end, len(text)))
        word = (begins and begins[1]) or ""
        if len(word) == 1 and begins and text.startswith(".", begins.end()):
            word += "."  # an initial: "C. E. Webber"
    if len(stops) == 1 and text[max(found.start() - 1, 0) : found.start()].isspace():
        # Spaced out as by a tokeniser: " . "
        return True
    if word[:1].islower() and not without_capitals and (stops[-1] in ".\u2026" or close):
        return False
    return stops != "." or not _goes_on(text, start, found.start(), word)


def _goes_on(text: str, start: int, stop: int, following: str) -> bool:
    """Tell whether a single full stop is part of the word before it, by that word and the one behind it."""
    last = _LAST_WORD.search(text, max(start, stop - _LONGEST_WORD), stop)
    if last is None:
        return False
    word, folded = last[0], last[0].casefold()
    if folded in NEVER_LAST or _MARKER.fullmatch(text, start, stop):
        return True
    if folded in NUMBERED and following[:1].isdigit():
        return True
    if word.isdecimal():
        return len(word) <= len("31") and following.casefold() in ORDINAL_BEFORE
    if not following or not (folded in SELDOM_LAST or (_INITIALS.fullmatch(word) and word[0].isupper())):
        return False
    return following.casefold() not in STARTERS


def _visible(text: str, start: int, end: int) -> int:
    """Skip white space: the first visible character from `start` on, `end` where there is none."""
    found = _WHITE_SPACE.match(text, start, end)
    return found.end() if found else start


class _Lines:
    """Tells line ends that end something from those where prose was wrapped. Asked in order."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.start = 0
        """Where the line begins that is read now."""
        self._width = 0
        self._measured = -1

    def ends(self, found: re.Match[str]) -> bool:
        """Tell whether the end of a line ends a sentence too."""
        text, start, (stop, after) = self._text, self.start, found.span()
        self.start = after
        line = text[start:stop].rstrip()
        if not line or after == len(text) or _ANY_LINE_END.search(text, stop + len(found["line"]), after):
            return True
        if line[-1] in ":;\uff1a\uff1b" or _HEADING.match(line) or _LIST_ITEM.match(text, after):
            return True
        begins = _BEGINS.match(text, after)
        word = (begins and begins[1]) or ""
        if word[:1].islower():
            return False
        # Wrapped if the next word had no room left. Where words have no spaces, one character is a word.
        room = 1 + (len(word) if word.isascii() else 1)
        width = self._paragraph_width(stop - start, after)
        return width < _WRAP_WIDTH or len(line) + room <= width

    def _paragraph_width(self, width: int, after: int) -> int:
        """Measure the longest line of the paragraph, once for all its lines."""
        if after > self._measured:
            for found in _ANY_LINE_END.finditer(self._text, after):
                line = self._text[after : found.start()]
                if not line.strip():
                    break
                width, after = max(width, len(line)), found.end()
            else:
                width, after = max(width, len(self._text) - after), len(self._text)
            self._width, self._measured = width, after
        return self._width


def _pieces(text: str, start: int, end: int) -> Iterator[TextSpan]:
    """Take white space off both ends, and cut what is too long."""
    start, end = _visible(text, start, end), start + len(text[start:end].rstrip())
    while end - start > LONGEST_SENTENCE:
        cut = _last_space(text, start + LONGEST_SENTENCE // 2, start + LONGEST_SENTENCE)
        if cut is None:
            cut = start + LONGEST_SENTENCE
        yield TextSpan(start, start + len(text[start:cut].rstrip()))
        start = _visible(text, cut, end)
    if start < end:
        yield TextSpan(start, end)


def _last_space(text: str, lowest: int, highest: int) -> int | None:
    for at in range(highest, lowest, -1):
        if text[at].isspace():
            return at
    return None


def _has_words(piece: str) -> bool:
    return any(map(str.isalnum, piece))


def _belongs_to_the_last(piece: str) -> bool:
    return _CITATIONS.fullmatch(piece) is not None or not _has_words(piece)

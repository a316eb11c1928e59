"""Where a text is best cut: between paragraphs, else lines, sentences, words, characters.

Nothing is searched for ahead of time. A chunk asks for the last break of a window that
is at most half a chunk wide, for one kind of break after the other, and each question
is one regular expression that begins at the window's end and goes back. So a chunk
costs a few dozen microseconds, however the text looks.

A break is the place of the first visible character behind it. All offsets are in
Unicode code points, and every script has breaks of each kind.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

_LINE_ENDS: Final = "\n\r\v\f\x85\u2028\u2029"
_LINE_BREAK: Final = rf"(?>\r\n|[{_LINE_ENDS}])"
# Latin, ellipsis, Arabic, Urdu, Devanagari, Armenian, Ethiopic.
_STOPS_BEFORE_SPACE: Final = ".!?\u2026\u061f\u06d4\u0964\u0965\u0589\u1362"
# Chinese and Japanese, which need no space: full stop, exclamation mark, question mark, half-width stop.
_STOPS: Final = "\u3002\uff01\uff1f\uff61"
_CLOSERS: Final = "\"')\\]\u2019\u201d\u00bb\u300d\u300f\uff09"
# After "e.g. " no sentence begins. Latin, Greek and Cyrillic; other scripts have no small letters.
_SMALL: Final = "a-z\u00df-\u00f6\u00f8-\u00ff\u03b1-\u03c9\u0430-\u045f"
# Commas, semicolons and colons, full-width and ASCII.
_PAUSES: Final = "\uff0c\u3001\uff1b\uff1a,;:"


_SENTENCE_END: Final = (
    rf"[{_STOPS_BEFORE_SPACE}][{_CLOSERS}]*+\s++(?![{_SMALL}])|[{_STOPS}][{_CLOSERS}]*+\s*+"
)


class _Kind(NamedTuple):
    """A kind of break: what no break of it can do without, and the last one of a window."""

    needs: re.Pattern[str]
    last: re.Pattern[str]


def _kind(needs: str, separator: str) -> _Kind:
    # `(?s:.*)` takes the whole window in one step and gives it back a character at a time. That costs ten
    # times as much a character as looking for one of a set, and most kinds are not there to be found.
    return _Kind(re.compile(needs), re.compile(rf"(?s:.*)(?:{separator})(?=\S)"))


_PARAGRAPH: Final = _kind(rf"[{_LINE_ENDS}][ \t]*+[{_LINE_ENDS}]", rf"{_LINE_BREAK}[ \t]*+{_LINE_BREAK}\s*+")
# A line that ends a sentence or clause, or is followed by what looks like an item: a mark, a number.
# Prose that is wrapped at some width has few of these, and they are as good there as a full stop.
_LINE: Final = _kind(
    f"[{_LINE_ENDS}]",
    rf"(?<=[{_STOPS_BEFORE_SPACE}{_STOPS}{_PAUSES}{_CLOSERS}|}}>]){_LINE_BREAK}\s*+"
    rf"|{_LINE_BREAK}\s*+(?=[^\w\s\"'(]|\d)",
)
_SENTENCE: Final = _kind(f"[{_STOPS_BEFORE_SPACE}{_STOPS}]", _SENTENCE_END)
_ANY_LINE: Final = _kind(f"[{_LINE_ENDS}]", rf"{_LINE_BREAK}\s*+")
_WORD: Final = _kind(r"\s", r"\s++")
_PAUSE: Final = _kind(f"[{_PAUSES}]", rf"[{_PAUSES}]\s*+")

_PROSE: Final = (_PARAGRAPH, _LINE, _SENTENCE, _ANY_LINE, _WORD, _PAUSE)
_CODE: Final = (_PARAGRAPH, _ANY_LINE, _WORD, _PAUSE)

_NEXT_SENTENCE: Final = re.compile(rf"(?:{_SENTENCE_END}|{_LINE_BREAK}\s*+)(?=\S)")
_NEXT_WORD: Final = re.compile(r"\s++(?=\S)")
_WHITE_SPACE: Final = re.compile(r"\s*+")

_ZERO_WIDTH_JOINER: Final = "\u200d"
_SKIN_TONES: Final = ("\U0001f3fb", "\U0001f3ff")
_REGIONAL_INDICATORS: Final = ("\U0001f1e6", "\U0001f1ff")
_LONGEST_CLUSTER: Final = 64


def last_break(text: str, lowest: int, highest: int, *, code: bool = False) -> int:
    """Find the best place to cut from `lowest` to `highest`, both included; the last of the best kind.

    `text[highest]` is visible. In code, lines count and sentences do not.
    """
    for kind in _CODE if code else _PROSE:
        found = kind.needs.search(text, lowest, highest) and kind.last.match(text, lowest, highest + 1)
        if found:
            return found.end()
    for cut in range(highest, max(lowest, highest - _LONGEST_CLUSTER), -1):
        if not _joined(text, cut):
            return cut
    return highest


def last_paragraph(text: str, lowest: int, highest: int) -> int | None:
    """Find the last place between paragraphs, behind a blank line, from `lowest` to `highest`."""
    found = _PARAGRAPH.last.match(text, lowest, highest + 1)
    return found.end() if found else None


def first_break(text: str, lowest: int, highest: int) -> int:
    """Find where a repetition of what stands before `highest` may begin, not before `lowest`.

    At a sentence or line if one begins in the first half of it, else at a word, else between characters.
    """
    found = _NEXT_SENTENCE.search(text, lowest, lowest + (highest - lowest) // 2) or (
        None if text[lowest - 1 : lowest].isspace() else _NEXT_WORD.search(text, lowest, highest)
    )
    if found:
        return found.end()
    while lowest < highest and _joined(text, lowest):
        lowest += 1
    return lowest


def visible_from(text: str, start: int, end: int) -> int:
    """Skip white space: the first visible character from `start` on, `end` where there is none."""
    found = _WHITE_SPACE.match(text, start, end)
    return found.end() if found else start


def visible_until(text: str, start: int, end: int) -> int:
    """Skip white space backwards: where the visible part of `text[start:end]` ends."""
    return start + len(text[start:end].rstrip())


def _joined(text: str, at: int) -> bool:
    """Tell whether the characters before and behind `at` are one for a reader.

    Marks stay with their letter, CR with LF, and what a joiner joins with it; flags stay pairs. This is less
    than Unicode's rules for grapheme clusters, and all that can be had from the standard library.
    """
    if not 0 < at < len(text):
        return False
    before, behind = text[at - 1], text[at]
    if behind.isascii():
        return before == "\r" and behind == "\n"
    if _REGIONAL_INDICATORS[0] <= behind <= _REGIONAL_INDICATORS[1]:
        return _flags_before(text, at) % 2 == 1
    return (
        _ZERO_WIDTH_JOINER in (before, behind)
        or _SKIN_TONES[0] <= behind <= _SKIN_TONES[1]
        or unicodedata.category(behind)[0] == "M"
    )


def _flags_before(text: str, at: int) -> int:
    first = at
    while first > max(0, at - _LONGEST_CLUSTER) and (
        _REGIONAL_INDICATORS[0] <= text[first - 1] <= _REGIONAL_INDICATORS[1]
    ):
        first -= 1
    return at - first

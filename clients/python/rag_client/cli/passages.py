"""A hit's text as it is shown: in one piece or cut, with the words of the query marked.

Highlights are offsets into the text as it is stored. So the text is taken apart at them first, and only then
brought into one line, piece by piece.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORT = 240
"""Characters of a hit's text that are shown unless the whole is asked for."""

BEFORE = 60
"""Characters of a cut text that stand before the first highlight."""

CUT = " ..."


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text, marked or not."""

    text: str
    marked: bool = False


def whole(text: str, highlights: Sequence[tuple[int, int]]) -> list[Piece]:
    """Take a text apart at its highlights; put together, the pieces are the text."""
    pieces: list[Piece] = []
    done = 0
    for start, end in sorted(highlights):
        pieces += [Piece(text[done:start]), Piece(text[max(start, done) : end], marked=True)]
        done = max(done, end)
    return [piece for piece in (*pieces, Piece(text[done:])) if piece.text]


def shortened(text: str, highlights: Sequence[tuple[int, int]]) -> list[Piece]:
    """Return one line of a text: its beginning, or what surrounds its first highlight."""
    if not highlights:
        return [Piece(textwrap.shorten(text, SHORT, placeholder=CUT))]
    first = min(start for start, _ in highlights)
    begin = max(0, first - BEFORE)
    if begin and (space := re.search(r"\s+", text[begin:first])):
        begin += space.end()  # not within a word, where words have spaces between them
    end = begin + SHORT
    shown = whole(
        text[begin:end], [_within(each, begin, end) for each in highlights if _shows(each, begin, end)]
    )
    line = [Piece(re.sub(r"\s+", " ", piece.text), piece.marked) for piece in shown]
    return [*[Piece(CUT.lstrip() + " ")][: bool(begin)], *line, *[Piece(CUT)][: end < len(text)]]


def _shows(span: tuple[int, int], begin: int, end: int) -> bool:
    return span[0] < end and span[1] > begin


def _within(span: tuple[int, int], begin: int, end: int) -> tuple[int, int]:
    return max(span[0], begin) - begin, min(span[1], end) - begin

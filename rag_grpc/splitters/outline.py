"""The outline of a Markdown text: its headings, and the blocks that are best kept whole.

CommonMark's headings outside of lists and quotes, `# ATX` and underlined ones; fenced
code, tables and `<pre>`. What could be mistaken for them is stepped over: HTML blocks
and comments, front matter, indented code. A full parser in Python needs seconds for a
megabyte. This is one regular expression that steps from one such block to the next, so
that most of the work is done in C, and each character is looked at a few times at most,
whatever the text. The price: a heading within a list item that is indented by less than
four spaces counts as one of the document.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

HEADING_CHARACTERS: Final = 200
"""Longer headings are cut: each chunk below repeats them."""

_SECTIONS: Final = 2000
_CHARACTERS_A_SECTION: Final = 32
"""A text may have so many sections, and then one for each so many characters. What follows has no headings:
nobody wrote it as a document, and each of them takes as long as two hundred characters of text."""

Range = tuple[int, int]

_HTML_BLOCKS: Final = (
    "a(?:ddress|rticle|side)|b(?:ase(?:font)?|lockquote|ody)|c(?:aption|enter|ol(?:group)?)|"
    "d(?:d|etails|ialog|i[rv]|[lt])|f(?:ieldset|igcaption|igure|ooter|orm|rame(?:set)?)|h(?:[1-6r]|ead(?:er)?|tml)|"
    "iframe|l(?:egend|i(?:nk)?)|m(?:ain|enu(?:item)?)|n(?:av|oframes)|o(?:l|ptgroup|ption)|p(?:aram)?|"
    "s(?:earch|ection|ummary)|t(?:able|body|d|foot|h(?:ead)?|itle|r(?:ack)?)|ul"
)
_ATX: Final = r" {0,3}#{1,6}(?:[ \t][^\n]*)?(?:\n(?:[ \t]*\n)*|\Z)"
# No group is repeated possessively: Python before 3.11.5 matches those wrongly (python/cpython#106052). Where
# it would save anything, what follows cannot fail.
_EVENT: Final = re.compile(
    r"^(?: {0,3}(?=[#`~<=|:-])(?:"
    # Headings with nothing but blank lines between them are one event, however many.
    r"(?P<marks>#{1,6})(?:[ \t][^\n]*)?(?:\n(?:[ \t]*\n)*|\Z)(?P<more>(?:" + _ATX + r")+)?"
    r"|(?P<ticks>(?P<tick>`{3,}+)[^`\n]*$(?s:.*?)(?:\n {0,3}(?P=tick)`*[ \t]*$|\Z))"
    r"|(?P<tildes>(?P<tilde>~{3,}+)[^\n]*$(?s:.*?)(?:\n {0,3}(?P=tilde)~*[ \t]*$|\Z))"
    # What follows an underline and looks like another is none.
    r"|(?P<underline>=+|-+)[ \t]*$(?:\n {0,3}(?:=+|-+)[ \t]*$)*"
    r"|(?P<table>(?=[^\n|]*+\|)(?=[^\n-]*+-)[|: \t-]+$(?:\n(?! {0,3}(?:#|```|~~~))[^\n|]*+\|[^\n]*)*)"
    r"|(?P<comment><!--(?s:.*?)(?:-->|\Z))"
    r"|(?P<raw>(?i:<(?P<tag>script|pre|style|textarea)\b(?s:.*?)(?:</(?P=tag)>|\Z)))"
    r"|(?P<html>(?i:</?(?:" + _HTML_BLOCKS + r")(?=[\s/>]))(?s:.*?)(?:\n[ \t]*(?=\n)|\Z))"
    r")"
    r"|(?P<deep>(?: {4}|\t)[ \t]*+(?P<fence>`{3,}+(?=[^`\n]*$)|~{3,}+)(?P<info>[^\n]*)))",
    re.MULTILINE,
)
_LAST_OF_LEVEL: Final = [
    re.compile(rf"(?s:.*)^( {{0,3}}#{{{level}}})(?!#)", re.MULTILINE) for level in range(1, 7)
]
_ATX_TITLE: Final = re.compile(r" {0,3}#{1,6}([^\n]*)")
_ATX_CLOSING: Final = re.compile(r"(?:^| )#+$")
_FRONT_MATTER: Final = re.compile(r"---[ \t]*\n")
_FRONT_MATTER_END: Final = re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.MULTILINE)
_BLANK_LINE_BEFORE: Final = re.compile(r"(?s:.*)^[ \t]*\n", re.MULTILINE)
# What no line of a paragraph begins with.
_NO_PARAGRAPH: Final = re.compile(
    r"^(?: {4}|\t| {0,3}(?:>|[-*+][ \t]|\d{1,9}[.)][ \t]|<|(?:\*[ \t]*){3,}$|(?:_[ \t]*){3,}$))", re.MULTILINE
)
_HEADINGS: Final = frozenset({"marks", "more", "underline"})
_WHOLE: Final = frozenset({"ticks", "tildes", "raw", "table"})
_NONE: Final = -1


class Outline:
    """Sections and whole blocks of a text.

    A section is a heading and what follows it up to the next one: `text[starts[i]:starts[i + 1]]`, what
    follows the heading from `bodies[i]` on. The sections cover the text without gap or overlap. The first has
    no heading where the text does not begin with one. Headings with nothing between them begin one section,
    which stands under the last of them.

    `blocks`: ranges that are best kept whole, in order, none within another.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.starts = [0]
        self.bodies = [0]
        self.blocks: list[Range] = []
        # The last of a section's own headings, by its number; titles and the path to them are read only for
        # the few headings that a chunk turns out to stand under.
        self._headings = [_NONE]
        self._titles: list[Range] = []
        self._levels: list[int] = []
        self._by_level: list[list[int]] = [[] for _ in range(7)]

    def __len__(self) -> int:
        return len(self.starts)

    def end(self, section: int) -> int:
        """Where a section ends."""
        return self.starts[section + 1] if section + 1 < len(self.starts) else len(self._text)

    def shared_headings(self, first: int, last: int) -> tuple[str, ...]:
        """Headings that both sections, and so all between them, stand under, outermost first."""
        path = self._path(self._headings[first])
        if first != last:
            other = self._path(self._headings[last])
            path = [one for one, two in zip(path, other, strict=False) if one == two]
        return tuple(filter(None, map(self._title, path)))

    def _path(self, heading: int) -> list[int]:
        if heading == _NONE:
            return []
        path: list[int] = []
        reached = _NONE
        for headings in self._by_level[1 : self._levels[heading]]:
            before = bisect_left(headings, heading)
            # A heading of a higher level that came later has closed this one.
            if before and headings[before - 1] > reached:
                reached = headings[before - 1]
                path.append(reached)
        return [*path, heading]

    def _title(self, heading: int) -> str:
        begin, end = self._titles[heading]
        if end != _NONE:
            return " ".join(self._text[begin : min(end, begin + HEADING_CHARACTERS)].split())
        line = _ATX_TITLE.match(self._text, begin)
        shown = " ".join(line[1][: 2 * HEADING_CHARACTERS].split()) if line else ""
        return (_ATX_CLOSING.sub("", shown) if shown.endswith("#") else shown)[:HEADING_CHARACTERS]

    def add_section(self, start: int, body: int, levels: Sequence[int], titles: Sequence[Range]) -> None:
        """Begin a section with headings of these levels. Titles: see `_title`."""
        if start == self.starts[-1]:
            self.starts.pop()
            self.bodies.pop()
            self._headings.pop()
        for level in levels:
            self._by_level[level].append(len(self._levels))
            self._levels.append(level)
        self._titles += titles
        self.starts.append(start)
        self.bodies.append(body)
        self._headings.append(len(self._levels) - 1 if levels else _NONE)


def outline(text: str) -> Outline:
    """Find the sections and whole blocks of a Markdown text."""
    if "\r" in text:
        # As long as the text itself, so that offsets hold, but with one kind of line end.
        text = text.replace("\r\n", " \n").replace("\r", "\n")
    found = Outline(text)
    position = _after_front_matter(text)
    deep = _DeepFences(found.blocks)
    for event in _EVENT.finditer(text, position):
        kind, end = event.lastgroup, event.end()
        if kind in _HEADINGS:
            heading = _heading(event, text, position)
            if heading:
                found.add_section(*heading)
                deep.open = None
                if len(found) > _SECTIONS + end // _CHARACTERS_A_SECTION:
                    found.add_section(end, end, (), ())
                    break
        elif kind == "deep":
            deep.take(event)
        elif kind in _WHOLE:
            start = _table_start(text, position, event.start()) if kind == "table" else event.start()
            if start is not None:
                found.blocks.append((start, end))
        position = end
    return found


def _heading(
    event: re.Match[str], text: str, after: int
) -> tuple[int, int, Sequence[int], Sequence[Range]] | None:
    """Read a heading, or a run of them: what `Outline.add_section` takes."""
    start, end = event.span()
    if event.lastgroup == "marks":
        return start, end, (len(event["marks"]),), ((start, _NONE),)
    if event.lastgroup == "more":
        return start, end, *_run(text, start, end)
    begin = _paragraph_start(text, after, start)
    if begin is None:
        return None
    return begin, end, (1 if event["underline"][0] == "=" else 2,), ((begin, start),)


def _run(text: str, start: int, end: int) -> tuple[list[int], list[Range]]:
    """Find in a run of headings those that the last one stands under, and itself: levels and titles."""
    levels: list[int] = []
    titles: list[Range] = []
    for level, last in enumerate(_LAST_OF_LEVEL, 1):
        heading = last.match(text, start, end)
        if heading:
            levels.append(level)
            titles.append((heading.start(1), _NONE))
            start = heading.end()
    return levels, titles


def _after_front_matter(text: str) -> int:
    opening = _FRONT_MATTER.match(text)
    closing = _FRONT_MATTER_END.search(text, opening.end()) if opening else None
    return closing.end() if closing else 0


def _table_start(text: str, after: int, delimiter: int) -> int | None:
    """Find where the line above a row of dashes begins; None where it is no head of a table."""
    start = text.rfind("\n", 0, max(delimiter - 1, 0)) + 1
    return start if after <= start and "|" in text[start:delimiter] else None


def _paragraph_start(text: str, after: int, underline: int) -> int | None:
    """Find where the paragraph above an underline begins, not before `after`; None where there is none."""
    begin = text.rfind("\n", after, underline - 1) + 1
    if text[max(begin - 2, 0) : begin] != "\n\n":
        # More than one line, perhaps.
        if after and text[after - 1] != "\n":
            # Something else ends on this line.
            after = text.find("\n", after, underline) + 1 or underline
        blank = _BLANK_LINE_BEFORE.match(text, after, underline)
        begin = blank.end() if blank else after
    if begin >= underline or text[begin:underline].isspace():
        return None
    return None if _NO_PARAGRAPH.search(text, begin, underline) else begin


class _DeepFences:
    """Fences that are indented as code is: those of list items. They hide no headings, but are whole."""

    def __init__(self, blocks: list[Range]) -> None:
        self._blocks = blocks
        self.open: re.Match[str] | None = None

    def take(self, line: re.Match[str]) -> None:
        """Open a fence, or close the one that is open."""
        if self.open is None:
            self.open = line
        elif line["fence"].startswith(self.open["fence"]) and not line["info"].strip():
            start = self.open.start()
            while self._blocks and self._blocks[-1][0] > start:
                self._blocks.pop()
            self._blocks.append((start, line.end()))
            self.open = None

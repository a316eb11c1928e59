"""Where the headings of a Markdown text are: in one pass, without parsing the rest.

CommonMark's headings outside of lists and quotes: `# ATX` and underlined ones. What
could be mistaken for them is stepped over: fenced and indented code, HTML blocks and
comments, front matter. A full parser in Python needs seconds for a megabyte; this
looks only at lines that can matter, and each character a few times at most, whatever
the text. The price: a heading within a list item that is indented by less than four
spaces counts as one of the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

HEADING_CHARACTERS: Final = 200
"""Longer headings are cut: each chunk below repeats them."""

_HTML_BLOCKS: Final = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|"
    "dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|"
    "link|main|menu|menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table|tbody|td|"
    "tfoot|th|thead|title|tr|track|ul"
)
_CANDIDATE: Final = re.compile(
    r"^ {0,3}(?:"
    r"(?P<atx>#{1,6})(?:[ \t][^\n]*)?$"
    r"|(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})"
    r"|(?P<underline>=+|-+)[ \t]*$"
    r"|<(?:(?P<comment>!--)|(?P<raw>script|pre|style|textarea)\b|/?(?:" + _HTML_BLOCKS + r")(?=[\s/>]))"
    r")",
    re.MULTILINE | re.IGNORECASE,
)
# Headings with nothing but blank lines between them, and each of them: one step for all, however many.
_ATX_RUN: Final = re.compile(r"(?: {0,3}#{1,6}(?:[ \t][^\n]*)?(?:\n(?:[ \t]*\n)*+|\Z))++")
_ATX_LINE: Final = re.compile(r"^ {0,3}(#{1,6})(?:[ \t]+([^\n]*))?$", re.MULTILINE)
_FRONT_MATTER: Final = re.compile(r"---[ \t]*\n")
_FRONT_MATTER_END: Final = re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.MULTILINE)
_BLANK_LINE: Final = re.compile(r"\n[ \t]*(?=\n)")
_ATX_CLOSING: Final = re.compile(r"(?:^| )#+$")
# What a line that stands above an underline may not begin with, or it is no paragraph of its own.
_NO_PARAGRAPH: Final = re.compile(
    r" {4}|\t| {0,3}(?:>|[-*+][ \t]|\d{1,9}[.)][ \t]|<|(?:\*[ \t]*){3,}$|(?:_[ \t]*){3,}$)"
)


class Section(NamedTuple):
    """A heading and what follows it, up to the next heading.

    The section is `text[start:end]`, what follows the heading `text[body:end]`. `headings`: its own, after
    those above it; empty for what comes before the first heading. Headings with nothing between them begin
    one section, which stands under the last of them.
    """

    start: int
    body: int
    end: int
    headings: tuple[str, ...]


class _Heading(NamedTuple):
    start: int
    end: int
    level: int
    text: str


def sections(text: str) -> Iterator[Section]:
    """Cut a text at its headings. The sections cover it without gap or overlap."""
    start = body = 0
    headings: tuple[str, ...] = ()
    levels: list[int] = []
    path: list[str] = []
    for heading in _headings(text):
        if start < heading.start:
            yield Section(start, body, heading.start, headings)
        while levels and levels[-1] >= heading.level:
            levels.pop()
            path.pop()
        levels.append(heading.level)
        path.append(heading.text)
        start, body, headings = heading.start, heading.end, tuple(filter(None, path))
    if start < len(text):
        yield Section(start, body, len(text), headings)


def _headings(text: str) -> Iterator[_Heading]:
    # As long as the text itself, so that offsets hold, but with one kind of line end.
    text = text.replace("\r\n", " \n").replace("\r", "\n")
    position = _after_front_matter(text)
    while match := _CANDIDATE.search(text, position):
        behind = match.end()
        if match["atx"]:
            run = _ATX_RUN.match(text, match.start())
            if run:
                behind = run.end() - 1 if text[run.end() - 1] == "\n" else run.end()
            for level, title in _last_path(_ATX_LINE.findall(text, match.start(), behind)):
                yield _Heading(match.start(), behind, level, title)
        elif match["underline"]:
            start = _paragraph_start(text, position, match.start())
            if start is not None:
                title = text[start : min(match.start(), start + HEADING_CHARACTERS)]
                yield _Heading(start, behind, 1 if match["underline"][0] == "=" else 2, _shown(title))
        else:
            behind = _block_end(text, match)
        position = behind


def _last_path(run: list[tuple[str, str]]) -> list[tuple[int, str]]:
    """Keep of a run of headings those that the last one stands under, and itself."""
    path: list[tuple[int, str]] = []
    lowest = 7
    for marks, text in reversed(run):
        if len(marks) < lowest:
            lowest = len(marks)
            title = _shown(text[: 2 * HEADING_CHARACTERS])
            if title.endswith("#"):
                title = _ATX_CLOSING.sub("", title)
            path.append((lowest, title[:HEADING_CHARACTERS]))
            if lowest == 1:
                break
    return path[::-1]


def _shown(heading: str) -> str:
    return " ".join(heading.split())


def _after_front_matter(text: str) -> int:
    opening = _FRONT_MATTER.match(text)
    closing = _FRONT_MATTER_END.search(text, opening.end()) if opening else None
    return closing.end() if closing else 0


def _paragraph_start(text: str, after: int, underline: int) -> int | None:
    """Find where the paragraph above an underline begins, not before `after`; None where there is none."""
    start = text.find("\n", after, underline) + 1 if after else 0
    begin = underline
    for line in reversed(text[start:underline].split("\n")[:-1]):
        if not line or line.isspace():
            break
        if _NO_PARAGRAPH.match(line):
            return None
        begin -= len(line) + 1
    return begin if begin < underline else None


def _block_end(text: str, match: re.Match[str]) -> int:
    """Find the end of a fence or HTML block: of the text where nothing closes it."""
    if fence := match["fence"]:
        line = text.find("\n", match.end())
        closing = re.compile(rf"^ {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$", re.MULTILINE)
        found = closing.search(text, line + 1) if line >= 0 else None
        return found.end() if found else len(text)
    if match["comment"]:
        end = text.find("-->", match.end())
        return end + 3 if end >= 0 else len(text)
    if match["raw"]:
        found = re.compile(rf"</{match['raw']}>", re.IGNORECASE).search(text, match.end())
        return found.end() if found else len(text)
    found = _BLANK_LINE.search(text, match.end())
    return found.end() if found else len(text)

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
from typing import Final

HEADING_CHARACTERS: Final = 200
"""Longer headings are cut: each chunk below repeats them."""

Range = tuple[int, int]

_HTML_BLOCKS: Final = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|"
    "dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|"
    "link|main|menu|menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table|tbody|td|"
    "tfoot|th|thead|title|tr|track|ul"
)
_UNDERLINE: Final = r"(?:=+|-+)[ \t]*$"
# What a line that stands above an underline may not begin with, or it is no paragraph of its own.
_NO_PARAGRAPH: Final = (
    r"(?: {4}|\t| {0,3}(?:>|[-*+][ \t]|\d{1,9}[.)][ \t]|<|(?:\*[ \t]*){3,}$|(?:_[ \t]*){3,}$))"
)
_ATX: Final = r" {0,3}#{1,6}(?:[ \t][^\n]*)?(?:\n(?:[ \t]*\n)*+|\Z)"
_EVENT: Final = re.compile(
    # Headings with nothing but blank lines between them are one event, however many.
    rf"^(?:(?P<atx> {{0,3}}(?P<marks>\#{{1,6}})(?:[ \t][^\n]*)?(?:\n(?:[ \t]*\n)*+|\Z)(?P<more>(?:{_ATX})++)?)"
    r"| {0,3}(?:"
    r"(?P<ticks>(?P<tick>`{3,}+)[^`\n]*$(?s:.*?)(?:\n {0,3}(?P=tick)`*[ \t]*$|\Z))"
    r"|(?P<tildes>(?P<tilde>~{3,}+)[^\n]*$(?s:.*?)(?:\n {0,3}(?P=tilde)~*[ \t]*$|\Z))"
    r"|(?P<comment><!--(?s:.*?)(?:-->|\Z))"
    r"|(?P<raw>(?i:<(?P<tag>script|pre|style|textarea)\b(?s:.*?)(?:</(?P=tag)>|\Z)))"
    rf"|(?P<html>(?i:</?(?:{_HTML_BLOCKS})(?=[\s/>]))(?s:.*?)(?:\n[ \t]*(?=\n)|\Z))"
    r")"
    rf"|(?P<underlined>(?=[^\n]*+\n {{0,3}}[=-])(?!{_NO_PARAGRAPH})(?! {{0,3}}{_UNDERLINE})[^\n]*[^\s][^\n]*\n"
    rf" {{0,3}}(?P<underline>{_UNDERLINE}))"
    r"|(?P<table>[^\n|]*+\|[^\n]*\n {0,3}(?=[^\n|]*+\|)(?=[^\n-]*+-)[|: \t-]+$"
    r"(?:\n(?! {0,3}(?:\#|```|~~~))[^\n|]*+\|[^\n]*)*+)"
    r"|(?P<deep>(?: {4}|\t)[ \t]*+(?P<deep_fence>`{3,}+(?=[^`\n]*$)|~{3,}+)(?P<info>[^\n]*))"
    r")",
    re.MULTILINE,
)
_WHOLE: Final = frozenset({"ticks", "tildes", "raw", "table"})
_ATX_START: Final = re.compile(r"^ {0,3}#{1,6}", re.MULTILINE)
_ATX_TITLE: Final = re.compile(r" {0,3}#{1,6}([^\n]*)")
_ATX_CLOSING: Final = re.compile(r"(?:^| )#+$")
_FRONT_MATTER: Final = re.compile(r"---[ \t]*\n")
_FRONT_MATTER_END: Final = re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.MULTILINE)
_STANDS_ALONE: Final = re.compile(rf"[ \t]*$| {{0,3}}{_UNDERLINE}", re.MULTILINE)
_NOT_OF_A_PARAGRAPH: Final = re.compile(_NO_PARAGRAPH, re.MULTILINE)
_NONE: Final = -1

"""HTML as light Markdown: headings, lists and preformatted text stay, the rest becomes paragraphs.

The standard library's parser is enough for pages that are text, takes any broken page, and costs no
dependency. It does not tell an article from the menus around it: whoever crawls the web wants trafilatura or
the like in front, and gives its output to `ragctl ingest` as JSONL.
"""

from __future__ import annotations

import codecs
import re
from html.parser import HTMLParser

from rag_client.cli.readers.content import MARKDOWN, Content

UNSEEN = {"script", "style", "template", "noscript", "svg", "iframe", "object", "head", "nav"}
HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
BLOCKS = {
    *("address", "article", "aside", "blockquote", "body", "caption", "dd", "div", "dl", "dt", "fieldset"),
    *("figcaption", "figure", "footer", "form", "header", "hr", "html", "main", "ol", "p", "section"),
    *("table", "tbody", "thead", "tr", "ul"),
}
DECLARED = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
LOOK = 1024
"""Bytes in which a page must declare its encoding, says the HTML standard."""


def read(data: bytes) -> Content:
    """Return the page's text as Markdown."""
    title, text = html_text(decode_html(data))
    return Content(text, title=title, media_type=MARKDOWN)


def html_text(page: str) -> tuple[str, str]:
    """Return a page's title and its text as Markdown."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.result()


def decode_html(data: bytes) -> str:
    """Return a page's characters: by its mark, its declaration, as UTF-8, or else as windows-1252."""
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    declared = DECLARED.search(data[:LOOK])
    for encoding in (declared[1].decode("ascii", "replace") if declared else "utf-8", "utf-8"):
        try:
            return data.decode(encoding)
        except (LookupError, UnicodeDecodeError):
            continue
    return data.decode("windows-1252", errors="replace")


class _Reader(HTMLParser):
    """Gathers blocks: a piece of text, and what it begins with."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._blocks: list[str] = []
        self._words: list[str] = []
        self._mark = ""
        self._title: list[str] = []
        self._first_heading = ""
        self._in_title = False
        self._unseen: list[str] = []
        self._verbatim = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a block where the tag does."""
        del attrs
        if tag == "title":
            self._in_title = not self._title  # an SVG may have titles of its own
        elif tag in UNSEEN:
            self._unseen.append(tag)
        elif tag == "body":
            self._unseen.clear()  # a head that was never closed
        elif tag in HEADINGS or tag == "li":
            self._end_block()
            self._mark = HEADINGS.get(tag, "- ")
        elif tag == "pre":
            self._end_block()
            self._verbatim = True
        elif tag == "br":
            self._words.append("\n" if self._verbatim else " ")
        elif tag in {"td", "th"}:
            self._words.append(" ")
        elif tag in BLOCKS:
            self._end_block()

    def handle_endtag(self, tag: str) -> None:
        """End a block where the tag does."""
        if tag == "title":
            self._in_title = False
        elif tag in UNSEEN:
            if tag in self._unseen:
                del self._unseen[self._unseen.index(tag) :]
        elif tag in BLOCKS or tag in HEADINGS or tag in {"li", "pre"}:
            self._end_block()
            self._verbatim = self._verbatim and tag != "pre"

    def handle_data(self, data: str) -> None:
        """Take characters, where they are text."""
        if self._in_title:
            self._title.append(data)
        elif not self._unseen:
            self._words.append(data)

    def result(self) -> tuple[str, str]:
        """Return title and text."""
        self._end_block()
        title = " ".join("".join(self._title).split()) or self._first_heading
        return title, "\n\n".join(self._blocks)

    def _end_block(self) -> None:
        text = "".join(self._words)
        mark, self._mark = self._mark, ""
        self._words.clear()
        if self._verbatim:
            if text.strip():
                # Fenced, or a comment in the code would be taken for a heading.
                self._blocks.append("```\n" + text.strip("\n") + "\n```")
            return
        if text := " ".join(text.split()):
            if mark.startswith("# ") and not self._first_heading:
                self._first_heading = text
            self._blocks.append(mark + text)
        else:
            self._mark = mark  # <li><p>text</p></li>

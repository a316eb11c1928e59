"""DOCX: headings, lists and tables as Markdown, in the order of the page.

python-docx opens the package and knows its styles. Its `Paragraph.text` leaves out what was inserted under
"track changes" and what stands in content controls, which is text to whoever reads the page, so the text is
gathered from the XML here. Headers, footers, footnotes and comments are left out.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING, Any

import docx
from docx.opc.exceptions import PackageNotFoundError
from docx.oxml.ns import qn

from rag_client.cli.readers.content import MARKDOWN, Content, UnreadableError
from rag_client.cli.readers.front_matter import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docx.document import Document

LARGEST_PART = 64 * 1024 * 1024
LARGEST_WHOLE = 512 * 1024 * 1024
"""Bytes, unpacked: a page of text is some 5 kB of XML, which as a tree takes ten times as much memory."""

HEADING = re.compile(r"heading ([1-9])$", re.IGNORECASE)
DEEPEST = 6
"""Markdown has no deeper heading."""
GONE = {
    qn("w:del"),
    qn("w:moveFrom"),
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
}
"""What was deleted, what was moved away, and what stands in for shapes that are there as well."""
BREAKS = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
AROUND = {qn("w:sdt"), qn("w:sdtContent"), qn("w:ins"), qn("w:moveTo"), qn("w:customXml"), qn("w:smartTag")}


def read(data: bytes) -> Content:
    """Return the text as Markdown, with `author` and `created_time` where the document has them."""
    _look_inside(data)
    try:
        document = docx.Document(io.BytesIO(data))
    except (PackageNotFoundError, KeyError, ValueError) as error:
        raise UnreadableError(f"broken: this is no DOCX: {error}") from None
    facts = _facts(document)
    title = facts.pop("title", "")
    blocks = _Blocks(document)
    text = "\n\n".join(blocks.of(document.element.body))
    if not text:
        raise UnreadableError("it has no text")
    return Content(text, title=title or blocks.title, media_type=MARKDOWN, metadata=facts)


def _look_inside(data: bytes) -> None:
    """Refuse a package that would not fit into memory: zipfile reads no more than it declares."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            sizes = [each.file_size for each in package.infolist()]
    except zipfile.BadZipFile as error:
        raise UnreadableError(f"broken: this is no DOCX: {error}") from None
    if max(sizes, default=0) > LARGEST_PART or sum(sizes) > LARGEST_WHOLE:
        raise UnreadableError(f"it unpacks to {sum(sizes)} bytes, which is too much")


def _facts(document: Document) -> dict[str, Any]:
    said = document.core_properties
    found = {
        "title": said.title.strip(),
        "author": said.author.strip(),
        "created_time": timestamp(said.created) if said.created else "",
    }
    return {name: value for name, value in found.items() if value}


class _Blocks:
    """Turns paragraphs and tables into blocks of Markdown; `title` is the first of the first level."""

    def __init__(self, document: Document) -> None:
        self.title = ""
        self._heading: dict[str | None, int] = {}
        self._lists: set[str | None] = set()
        for style in document.styles:
            name = (style.name or "").lower()
            if name == "title":
                self._heading[style.style_id] = 1
            elif found := HEADING.match(name):
                self._heading[style.style_id] = int(found[1])
            elif name.startswith("list") and name != "list continue":
                self._lists.add(style.style_id)

    def of(self, parent: Any) -> Iterator[str]:
        """Yield the blocks of the body, of a cell, or of what stands around them."""
        for child in parent:
            if child.tag == qn("w:p"):
                if block := self._paragraph(child):
                    yield block
            elif child.tag == qn("w:tbl"):
                if rows := [row for row in map(self._row, _children(child, "w:tr")) if row]:
                    yield "\n".join(rows)
            elif child.tag in AROUND:
                yield from self.of(child)

    def _paragraph(self, paragraph: Any) -> str:
        text = "".join(_pieces(paragraph)).strip()
        if not text:
            return ""
        properties = paragraph.pPr
        style = properties.style if properties is not None else None
        if level := self._heading.get(style, 0):
            text = " ".join(text.split())
            self.title = self.title or text * (level == 1)
            return "#" * min(level, DEEPEST) + f" {text}"
        listed = style in self._lists or (properties is not None and properties.numPr is not None)
        return f"- {text}" if listed else text

    def _row(self, row: Any) -> str:
        cells = [" ".join(" ".join(self.of(cell)).split()) for cell in _children(row, "w:tc")]
        return "| " + " | ".join(cells) + " |" if any(cells) else ""


def _children(parent: Any, name: str) -> Iterator[Any]:
    """Yield the children of a name, those in content controls too."""
    for child in parent:
        if child.tag == qn(name):
            yield child
        elif child.tag in AROUND:
            yield from _children(child, name)


def _pieces(element: Any) -> Iterator[str]:
    """Yield the text below an element, without what is gone."""
    for child in element:
        if child.tag in GONE:
            continue
        if child.tag == qn("w:t"):
            yield child.text or ""
        elif child.tag in BREAKS:
            yield BREAKS[child.tag]
        elif child.tag != qn("w:pPr"):
            if child.tag == qn("w:p"):  # of a text box
                yield "\n"
            yield from _pieces(child)

"""Small files of the kinds that people have, made as their programs make them."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import docx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def pdf(pages: Sequence[str], info: Mapping[str, str] | None = None) -> bytes:
    """A PDF, written by hand as the standard has it: one line of text under the other on each page."""
    said = "".join(f"/{name} ({_escaped(value)})" for name, value in (info or {}).items())
    kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        f"<< {said} >>",
    ]
    resources = "/MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
    for number, page in enumerate(pages):
        shown = " ".join(f"({_escaped(line)}) Tj T*" for line in page.split("\n")) if page else ""
        content = f"BT /F1 12 Tf 14 TL 72 720 Td {shown} ET" if shown else ""
        objects += [
            f"<< /Type /Page /Parent 2 0 R {resources} /Contents {6 + 2 * number} 0 R >>",
            f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        ]
    return _pdf_file(objects)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def _pdf_file(objects: Sequence[str]) -> bytes:
    data = b"%PDF-1.4\n"
    offsets = []
    for number, each in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{each}\nendobj\n".encode("cp1252")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    count = len(objects) + 1
    return (
        data
        + (
            f"xref\n0 {count}\n0000000000 65535 f \n{table}"
            f"trailer\n<< /Size {count} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
        ).encode()
    )


def word(
    paragraphs: Sequence[tuple[str, str]], *, title: str = "", table: Sequence[Sequence[str]] = ()
) -> bytes:
    """A DOCX of (style, text), with a table at its end."""
    document = docx.Document()
    document.core_properties.title = title
    document.core_properties.author = "Ada"
    for style, text in paragraphs:
        document.add_paragraph(text, style=style)
    if table:
        made = document.add_table(rows=len(table), cols=len(table[0]))
        for row, cells in zip(made.rows, table, strict=True):
            for cell, text in zip(row.cells, cells, strict=True):
                cell.text = text
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def with_body(package: bytes, body: str) -> bytes:
    """The same DOCX with another body, in WordprocessingML."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for each in old.infolist():
            content = old.read(each)
            if each.filename == "word/document.xml":
                begin, end = content.index(b"<w:body>") + len(b"<w:body>"), content.index(b"</w:body>")
                content = content[:begin] + body.encode() + content[end:]
            new.writestr(each.filename, content)
    return file.getvalue()

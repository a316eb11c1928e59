"""Files as documents, one after the other: never more than one file's text, or one line, in memory.

What a file is follows from its name (Markdown, HTML, JSON lines), and else from a look into it: what decodes
as text is text, the rest is passed over by name.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from rag_client.cli.html_text import decode_html, html_text
from rag_client.models import Chunk, Document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rag_client.cli.files import SourceFile

MARKDOWN = (".md", ".markdown")
HTML = (".html", ".htm", ".xhtml")
JSON_LINES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
LARGEST_FILE = 64 * 1024 * 1024
"""Bytes of a file that is one document; no server takes as much text."""

JSON_KEYS = ("doc_id", "text", "title", "media_type", "metadata", "chunks", "embedder_fingerprint")
FENCE = re.compile(r"^ {0,3}(```|~~~)")
TITLE = re.compile(r"^ {0,3}#[ \t]+(.*?)[ \t]*#*[ \t]*$")


@dataclass(frozen=True, slots=True)
class Unread:
    """What was not read, and why.

    "failed" is what should have been a document, "skipped" what is none, "warning" what was left out of one.
    """

    name: str
    why: str
    kind: Literal["failed", "skipped", "warning"]


class Reader:
    """Reads files; counts the bytes it has read, and reports what it could not."""

    def __init__(self, report: Callable[[Unread], None], *, prefix: str = "") -> None:
        self._report = report
        self._prefix = prefix
        self._ids: set[str] = set()
        self._unknown: set[str] = set()
        self.bytes_read = 0

    def documents(self, files: Iterable[SourceFile]) -> Iterator[Document]:
        """Yield the documents of files."""
        for file in files:
            before = self.bytes_read
            try:
                if file.path.name.lower().endswith(JSON_LINES):
                    yield from self._json_lines(file)
                elif document := self._one(file):
                    yield document
            except (OSError, EOFError, zlib.error) as error:
                why = getattr(error, "strerror", None) or str(error)
                self._report(Unread(str(file.path), why, "failed"))
            self.bytes_read = before + file.size

    def _one(self, file: SourceFile) -> Document | None:
        name = str(file.path)
        if file.size > LARGEST_FILE:
            unread = Unread(name, f"{file.size} bytes are too many for one document", "failed")
        elif file.doc_id in self._ids:
            why = f"another file is the document {file.doc_id} already; --root tells them apart"
            unread = Unread(name, why, "failed")
        elif (document := _document(file, file.path.read_bytes())) is None:
            unread = Unread(name, "not text", "skipped")
        elif not document.text.strip():
            unread = Unread(name, "empty", "skipped")
        else:
            self._ids.add(file.doc_id)
            return _prefixed(document, self._prefix)
        self._report(unread)
        return None

    def _json_lines(self, file: SourceFile) -> Iterator[Document]:
        with file.path.open("rb") as raw:
            packed = file.path.name.lower().endswith(".gz")
            lines: Iterable[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw
            before = self.bytes_read
            # Iterating bytes ends lines at "\n" alone; a text file would end them at \x85 and U+2028 too.
            for number, line in enumerate(lines, 1):
                self.bytes_read = before + raw.tell()
                if not line.strip():
                    continue
                try:
                    document, unknown = json_document(line)
                except ValueError as error:
                    self._report(Unread(f"{file.path}:{number}", str(error), "failed"))
                    continue
                self._warn_of(unknown, file)
                yield _prefixed(document, self._prefix)

    def _warn_of(self, keys: list[str], file: SourceFile) -> None:
        """Name a key that is not stored, once: dropped in silence, it would be missed by the first filter."""
        for key in keys:
            if key not in self._unknown:
                self._unknown.add(key)
                why = f"the key {key!r} is not stored; put it into metadata"
                self._report(Unread(str(file.path), why, "warning"))


def json_document(line: bytes) -> tuple[Document, list[str]]:
    """Return the document of one JSON line, and its keys that no document has.

    Raises ValueError that says what is wrong with it.
    """
    try:
        given = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(given, dict):
        raise ValueError("a line is an object")  # noqa: TRY004 - a bad value of the file
    given = {key: value for key, value in given.items() if value is not None}
    for key in ("doc_id", "text", "title", "media_type", "embedder_fingerprint"):
        if not isinstance(given.get(key, ""), str):
            raise ValueError(f"{key} is a string, not {given[key]!r}")  # noqa: TRY004 - as above
    if not given.get("doc_id"):
        raise ValueError("doc_id is missing")
    if not isinstance(given.get("metadata", {}), dict):
        raise ValueError("metadata is an object")  # noqa: TRY004 - as above
    if "chunks" in given:
        given["chunks"] = [_chunk(each) for each in given["chunks"]]
    known = {key: given[key] for key in JSON_KEYS if key in given}
    return Document(**known), [key for key in given if key not in known]


def markdown_title(text: str) -> str:
    """Return the first heading of the first level outside of fenced code, or nothing."""
    fence = ""
    for line in text.split("\n"):
        if mark := FENCE.match(line):
            fence = "" if fence == mark[1] else fence or mark[1]
        elif not fence and (heading := TITLE.match(line)):
            return heading[1]
    return ""


def decoded(data: bytes) -> str | None:
    """Return the text that bytes are: UTF-8, or UTF-16 with its mark; None for what is no text."""
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _document(file: SourceFile, data: bytes) -> Document | None:
    suffix = file.path.suffix.lower()
    if suffix in HTML:
        title, text = html_text(decode_html(data))
        return Document(file.doc_id, text, title=title or file.path.name, media_type="text/markdown")
    text_or_none = decoded(data)
    if text_or_none is None:
        return None
    if suffix in MARKDOWN:
        title = markdown_title(text_or_none) or file.path.name
        return Document(file.doc_id, text_or_none, title=title, media_type="text/markdown")
    return Document(file.doc_id, text_or_none, title=file.path.name)


def _prefixed(document: Document, prefix: str) -> Document:
    return replace(document, doc_id=prefix + document.doc_id) if prefix else document


def _chunk(given: Any) -> Chunk:
    try:
        return Chunk(**{key: given[key] for key in given if key in ("text", "vector", "start", "end")})
    except TypeError:
        raise ValueError("a chunk is an object with text, and vector, start and end where known") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")

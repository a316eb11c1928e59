"""Files as documents, one after the other: never more than one file's text, or one line, in memory.

What a file is follows from its name (`readers` has the kinds, and JSON lines are read here), and else from a
look into it: what decodes as text is text, the rest is passed over by name. A document made of a whole file
has a key `file` in its metadata: the file's path, the source that the path begins at, size, modified_time and
media_type. A line of JSON lines is a document already, and is stored as it stands; only where a folder is
kept in step (`mark_lines`) does it get `file.path` and `file.source`, by which it is found again.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rag_client.cli import readers
from rag_client.cli.files import Unread
from rag_client.cli.json_lines import SUFFIXES, json_document
from rag_client.models import Document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rag_client.cli.files import SourceFile

LARGEST_FILE = 64 * 1024 * 1024
"""Bytes of a file that is one document; no server takes as much text."""
LONGEST_TITLE = 1000
"""Characters of a title that the server takes."""
FACTS = "file"
"""The key of the metadata that is ragctl's own."""


class Reader:
    """Reads files; counts the bytes it has read, and reports what it could not."""

    def __init__(
        self, report: Callable[[Unread], None], *, prefix: str = "", mark_lines: bool = False
    ) -> None:
        self._report = report
        self._prefix = prefix
        self._mark_lines = mark_lines
        self._ids: set[str] = set()
        self._unknown: set[str] = set()
        self.bytes_read = 0

    def documents(self, files: Iterable[SourceFile]) -> Iterator[Document]:
        """Yield the documents of files."""
        for file in files:
            before = self.bytes_read
            try:
                if file.path.name.lower().endswith(SUFFIXES):
                    yield from self._json_lines(file)
                elif document := self._one(file):
                    yield document
            except (OSError, EOFError, zlib.error) as error:
                why = getattr(error, "strerror", None) or str(error)
                self._report(Unread(str(file.path), why, "failed", file.place))
            self.bytes_read = before + file.size

    def _one(self, file: SourceFile) -> Document | None:
        try:
            document = self._document(file)
        except readers.UnreadableError as error:
            self._report(Unread(str(file.path), str(error), "failed", file.place))
            return None
        if document is None or not document.text.strip():
            why = "not text" if document is None else "empty"
            self._report(Unread(str(file.path), why, "skipped", file.place))
            return None
        self._ids.add(file.doc_id)
        return document

    def _document(self, file: SourceFile) -> Document | None:
        if file.size > LARGEST_FILE:
            raise readers.UnreadableError(f"{file.size} bytes are too many for one document")
        if file.doc_id in self._ids:
            why = f"another file is the document {file.doc_id} already; --root tells them apart"
            raise readers.UnreadableError(why)
        kind = readers.kind_of(file.path)
        content = readers.read(kind, file.path.read_bytes())
        if content is None:
            return None
        warnings = [*content.warnings]
        if FACTS in content.metadata:
            warnings.append(f"the key {FACTS!r} of its metadata is ragctl's own, and was left out")
        for warning in warnings:
            self._report(Unread(str(file.path), warning, "warning"))
        facts = {**self._facts(file), "media_type": kind.media_type}
        return Document(
            self._prefix + file.doc_id,
            content.text,
            title=(content.title or file.path.name)[:LONGEST_TITLE],
            media_type=content.media_type,
            metadata={**content.metadata, FACTS: facts},
        )

    def _facts(self, file: SourceFile) -> dict[str, Any]:
        return {**file.facts(), **({"prefix": self._prefix} if self._prefix else {})}

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
                    document = self._marked(document, file)
                except ValueError as error:
                    self._report(Unread(f"{file.path}:{number}", str(error), "failed", file.place))
                    continue
                self._warn_of(unknown, file)
                yield replace(document, doc_id=self._prefix + document.doc_id)

    def _marked(self, document: Document, file: SourceFile) -> Document:
        if not self._mark_lines:
            return document
        if FACTS in document.metadata:
            raise ValueError(f"with --sync the key {FACTS!r} of the metadata is ragctl's own")
        facts = self._facts(file)
        mark = {name: facts[name] for name in ("path", "source", "prefix") if name in facts}
        return replace(document, metadata={**document.metadata, FACTS: mark})

    def _warn_of(self, keys: list[str], file: SourceFile) -> None:
        """Name a key that is not stored, once: dropped in silence, it would be missed by the first filter."""
        for key in keys:
            if key not in self._unknown:
                self._unknown.add(key)
                why = f"the key {key!r} is not stored; put it into metadata"
                self._report(Unread(str(file.path), why, "warning"))

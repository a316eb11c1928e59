"""Queries, labels and corpora from files, in the forms in which published collections come.

* BEIR: `corpus.jsonl` and `queries.jsonl` with `_id` (or `doc_id`, `query_id`, `id`), `text`, `title`;
  labels as a table of query, document and grade under a line of headers.
* TREC: topics between `<top>` and `</top>`, labels as four columns (query, iteration, document, grade),
  documents between `<DOC>` and `</DOC>`. Tables of a query's id and its text, too.

Which of them a file is, is seen from what is in it. All may be packed by gzip. Lines end at line feeds
alone, for texts hold other characters that Python takes for line ends.
"""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from rag_client.evaluation import LabelledQuery
from rag_client.models import Document

if TYPE_CHECKING:
    from pathlib import Path

GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
IDS = ("_id", "doc_id", "query_id", "id", "docid", "qid")
TEXTS = ("text", "contents", "query", "title")
TREC_COLUMNS = 4
BEIR_COLUMNS = 3

Line = tuple[int, str]
"""A line's number, from 1, and what stands there."""


class FileFormatError(ValueError):
    """A file that is not what it should be; says which, where and why."""


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """The queries that have labels, and how many of either have no other side."""

    queries: tuple[LabelledQuery, ...]
    without_labels: int
    without_query: int

    def texts(self) -> dict[str, str]:
        """Return each query's text, by its id."""
        return {each.query_id: each.text for each in self.queries}


def read_judged_set(queries: Path, labels: Path) -> JudgedSet:
    """Read queries with their labels. Raises FileFormatError, also where no query has any."""
    texts, grades = read_queries(queries), read_labels(labels)
    judged = tuple(LabelledQuery(each, text, grades[each]) for each, text in texts.items() if each in grades)
    if not judged:
        raise FileFormatError(f"no query of {queries} has a label in {labels}: are their ids the same?")
    return JudgedSet(judged, len(texts) - len(judged), len(grades) - len(judged))


def read_queries(path: Path) -> dict[str, str]:
    """Read the text of each query, by its id, in the order of the file."""
    found: dict[str, str] = {}
    for number, query_id, text in _queries(path):
        if not query_id or not text.strip():
            raise FileFormatError(f"{path}:{number}: a query has an id and a text")
        if query_id in found:
            raise FileFormatError(f"{path}:{number}: query {query_id!r} is there already")
        found[query_id] = text
    return found


def _queries(path: Path) -> Iterator[tuple[int, str, str]]:
    with _lines(path) as (first, lines):
        if first.startswith("{"):
            for number, line in lines:
                given = _object(path, number, line)
                yield number, _id(given), _text(given)
        elif first.lower().startswith("<top"):
            for number, block in _blocks(lines, "top"):
                name = _field(block, "num")
                query_id = re.sub(r"^\s*Number:\s*", "", name, flags=re.IGNORECASE)
                title = re.sub(r"^\s*Topic:\s*", "", _field(block, "title"), flags=re.IGNORECASE)
                yield number, query_id.strip(), " ".join(title.split())
        else:
            for number, line in lines:
                query_id, _, text = line.partition("\t")
                yield number, query_id.strip(), text.strip()


def read_labels(path: Path) -> dict[str, dict[str, int]]:
    """Read the grade of each document, by query and document; what is below 0 (junk, to TREC) is 0."""
    found: dict[str, dict[str, int]] = {}
    with _lines(path) as (first, lines):
        begin = 0 if _is_label(first) else 1
        for place, (number, line) in enumerate(lines):
            if place < begin:
                continue
            columns = _columns(line)
            if not _is_label(line):
                raise FileFormatError(
                    f"{path}:{number}: a label is a query, a document and a whole number, in three columns,"
                    " or four with TREC's iteration in the second"
                )
            labels = found.setdefault(columns[0], {})
            if columns[-2] in labels:
                raise FileFormatError(f"{path}:{number}: {columns[0]} has a label of {columns[-2]} already")
            labels[columns[-2]] = max(0, int(columns[-1]))
    return found


def _columns(line: str) -> list[str]:
    columns = line.split("\t")
    return [each.strip() for each in columns] if len(columns) >= BEIR_COLUMNS else line.split()


def _is_label(line: str) -> bool:
    columns = _columns(line)
    if len(columns) not in (BEIR_COLUMNS, TREC_COLUMNS) or not all(columns):
        return False
    return re.fullmatch(r"-?[0-9]+", columns[-1]) is not None


def read_corpus(path: Path) -> Iterator[Document]:
    """Read documents, one by one."""
    with _lines(path) as (first, lines):
        if first.lower().startswith("<doc"):
            for _, block in _blocks(lines, "doc"):
                yield _trec_document(block)
            return
        for number, line in lines:
            given = _object(path, number, line)
            document = Document(_id(given), str(given.get("text") or given.get("contents") or ""))
            if not document.doc_id:
                raise FileFormatError(f"{path}:{number}: a document has an id, as {' or '.join(IDS[:2])}")
            title, metadata = given.get("title"), given.get("metadata")
            yield Document(
                document.doc_id,
                # Some documents of published collections are a title alone, and a text must be there.
                document.text if document.text.strip() else str(title or ""),
                title=str(title or ""),
                metadata=metadata if isinstance(metadata, dict) else {},
            )


def objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read JSON lines, with the number of each."""
    with _lines(path) as (_, lines):
        for number, line in lines:
            yield number, _object(path, number, line)


def _trec_document(block: str) -> Document:
    title = _field(block, "title") or _field(block, "headline")
    text = "\n".join(
        part.strip() for part in re.findall(r"<text>(.*?)</text>", block, re.DOTALL | re.IGNORECASE)
    )
    return Document(_field(block, "docno").strip(), text or title, title=" ".join(title.split()))


def _blocks(lines: Iterator[Line], name: str) -> Iterator[Line]:
    """Give what stands between a tag and its end, which stand on lines of their own."""
    kept: list[str] = []
    begin = 0
    for number, line in lines:
        tag = line.strip().lower()
        if tag == f"<{name}>":
            kept, begin = [], number
        elif tag == f"</{name}>":
            yield begin, "\n".join(kept)
        else:
            kept.append(line)


def _field(block: str, name: str) -> str:
    """Return what follows a tag, to the next one: TREC's topics close none of theirs."""
    found = re.search(rf"<{name}>([^<]*)", block, re.IGNORECASE)
    return html.unescape(found.group(1)) if found else ""


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}:{number}: no JSON: {error}") from None
    if not isinstance(given, dict):
        raise FileFormatError(f"{path}:{number}: a line is an object")
    return given


def _id(given: dict[str, Any]) -> str:
    return next((str(given[name]) for name in IDS if given.get(name) not in (None, "")), "")


def _text(given: dict[str, Any]) -> str:
    return next((str(given[name]) for name in TEXTS if given.get(name)), "")


@contextmanager
def _lines(path: Path) -> Iterator[tuple[str, Iterator[Line]]]:
    """Open a file; give its first line, to be known by, and all lines that are not blank."""
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        with cast("BinaryIO", gzip.open(raw)) if packed else raw as file:
            numbered = _decoded(path, file)
            first = next(numbered, None)
            if first is None:
                raise FileFormatError(f"{path} is empty")
            yield first[1].strip(), _from(first, numbered)


def _from(first: Line, rest: Iterator[Line]) -> Iterator[Line]:
    yield first
    yield from rest


def _decoded(path: Path, file: BinaryIO) -> Iterator[Line]:
    for number, line in enumerate(file, 1):
        try:
            text = (line.removeprefix(BOM) if number == 1 else line).decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise FileFormatError(f"{path}:{number}: not UTF-8: {error}") from None
        if text.strip():
            yield number, text

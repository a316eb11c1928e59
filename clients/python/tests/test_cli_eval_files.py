"""Queries, labels and corpora as published collections bring them."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from rag_client.cli.evaluation.judged_sets import (
    FileFormatError,
    read_corpus,
    read_judged_set,
    read_labels,
    read_queries,
)
from rag_client.models import Document

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def lines(*objects: dict[str, object]) -> bytes:
    return b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in objects)


TREC_TOPICS = b"""
<top>
<num> Number: 301
<title> International Organized Crime &amp; more

<desc> Description:
Identify organizations that participate in it.
</top>
<top>
<num> Number: 302 </num>
<title> Topic: Poliomyelitis
 and Post-Polio </title>
</top>
"""
QUERIES = {
    "BEIR": (lines({"_id": "1", "text": "why?", "metadata": {}}, {"_id": 2, "text": "how?"}), ["1", "2"]),
    "ours": (lines({"query_id": "1", "text": "why?"}, {"query_id": "2", "text": "how?"}), ["1", "2"]),
    "table": (b"1\twhy?\n\n2\thow?\r\n", ["1", "2"]),
}


@pytest.mark.parametrize("form", QUERIES)
@pytest.mark.parametrize("packed", [False, True])
def test_queries_of_every_form(file: Path, form: str, packed: bool) -> None:
    content, ids = QUERIES[form]
    file.write_bytes(gzip.compress(content) if packed else b"\xef\xbb\xbf" + content)
    assert read_queries(file) == dict(zip(ids, ["why?", "how?"], strict=True))


def test_topics_of_trec(file: Path) -> None:
    file.write_bytes(TREC_TOPICS)
    assert read_queries(file) == {
        "301": "International Organized Crime & more",
        "302": "Poliomyelitis and Post-Polio",
    }


LABELS = {
    "BEIR": b"query-id\tcorpus-id\tscore\n1\ta b\t1\n1\tc\t0\n2\td\t3\n",
    "no header": b"1\ta b\t1\n1\tc\t0\n2\td\t3\n",
    "TREC": b"1\t0\ta b\t1\n1\t0\tc\t-2\n2\t0\td\t3\n",
}


@pytest.mark.parametrize("form", LABELS)
def test_labels_of_every_form(file: Path, form: str) -> None:
    file.write_bytes(LABELS[form])
    assert read_labels(file) == {"1": {"a b": 1, "c": 0}, "2": {"d": 3}}


def test_labels_between_spaces(file: Path) -> None:
    file.write_bytes(b"301 0 FBIS3-10082 1\n301  0 FBIS3-10169 0\n")
    assert read_labels(file) == {"301": {"FBIS3-10082": 1, "FBIS3-10169": 0}}


def test_a_corpus_of_json_lines(file: Path) -> None:
    file.write_bytes(
        lines(
            {"_id": "1", "title": "T", "text": "a\u2028b\u0085c", "metadata": {"year": 2020}},
            {"doc_id": "2", "title": "only a title", "text": ""},
            {"id": 3, "contents": "pyserini's"},
        )
    )
    assert list(read_corpus(file)) == [
        Document("1", "a\u2028b\u0085c", title="T", metadata={"year": 2020}),
        Document("2", "only a title", title="only a title"),
        Document("3", "pyserini's"),
    ]


def test_a_corpus_of_trec(file: Path) -> None:
    file.write_bytes(
        b"<DOC>\n<DOCNO> FT911-1 </DOCNO>\n<HEADLINE>\nA head\n</HEADLINE>\n<TEXT>\none\ntwo\n</TEXT>\n"
        b"<TEXT>three</TEXT>\n</DOC>\n<DOC>\n<DOCNO>FT911-2</DOCNO>\n<TEXT>four</TEXT>\n</DOC>\n"
    )
    assert list(read_corpus(file)) == [
        Document("FT911-1", "one\ntwo\nthree", title="A head"),
        Document("FT911-2", "four"),
    ]


@pytest.mark.parametrize(
    ("content", "reader", "says"),
    [
        (b"", read_queries, "is empty"),
        (b"\n  \n", read_labels, "is empty"),
        (b'{"_id": "1", "text": "a"}\n{"_id": "1", "text": "b"}\n', read_queries, ":2: .* there already"),
        (b'{"_id": "1"}\n', read_queries, ":1: a query has"),
        (b'{"_id": "1", "text": "a"}\n{oops}\n', read_queries, ":2: no JSON"),
        (b"no tab\n", read_queries, ":1: a query has"),
        (b"\xff\xfe\n", read_queries, ":1: not UTF-8"),
        (b"q\td\tscore\n1\ta\tmany\n", read_labels, ":2: a label is"),
        (b"1\ta\t1\n1\ta\t0\n", read_labels, ":2: 1 has a label of a already"),
        (b'{"text": "a"}\n', read_corpus, ":1: a document has an id"),
        (b"[1]\n", read_corpus, ":1: a line is an object"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(file: Path, content: bytes, reader: object, says: str) -> None:
    file.write_bytes(content)
    with pytest.raises(FileFormatError, match=says):
        list(reader(file))  # type: ignore[operator]


def test_a_set_is_the_queries_that_have_labels(tmp_path: Path) -> None:
    queries, labels = tmp_path / "queries", tmp_path / "labels"
    queries.write_bytes(b"1\twhy?\n2\thow?\n3\twho?\n")
    labels.write_bytes(b"3\td\t1\n2\td\t0\n9\td\t1\n")
    judged = read_judged_set(queries, labels)
    assert [each.query_id for each in judged.queries] == ["2", "3"]
    assert (judged.without_labels, judged.without_query) == (1, 1)
    labels.write_bytes(b"9\td\t1\n")
    with pytest.raises(FileFormatError, match="are their ids the same"):
        read_judged_set(queries, labels)

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rag_client import Chunk, Document
from rag_client.cli.files import Finder, NothingThereError, Place, SourceFile, Unread
from rag_client.cli.json_lines import json_document
from rag_client.cli.readers.html import decode_html, html_text
from rag_client.cli.readers.markdown import markdown_title
from rag_client.cli.readers.plain import decoded
from rag_client.cli.reading import LARGEST_FILE, Reader

if TYPE_CHECKING:
    from collections.abc import Iterable


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "docs/b.md",
        "docs/a.md",
        "docs/deep/c.txt",
        "docs/.git/config",
        "docs/__pycache__/x.pyc",
        "top.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")
    (tmp_path / "docs/.hidden").write_text("x")
    (tmp_path / "docs/round").symlink_to(tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ids(paths: Iterable[str], root: Path | str = ".") -> list[str]:
    unread: list[Unread] = []
    found = [file.doc_id for file in Finder(Path(root), report=unread.append).find(paths)]
    assert unread == []
    return found


ALL = ["docs/a.md", "docs/b.md", "docs/deep/c.txt"]


@pytest.mark.parametrize("path", ["docs", "./docs", "docs/", "docs/deep/.."])
def test_a_folder_is_read_in_order_without_what_is_hidden_or_made(tree: Path, path: str) -> None:
    assert ids([path]) == ALL
    assert ids([str(tree / path)]) == ALL


def test_globs_find_what_the_shell_would_not(tree: Path) -> None:
    assert ids(["docs/*.md"]) == ["docs/a.md", "docs/b.md"]
    assert ids([f"{tree}/**/*.txt"]) == ["docs/deep/c.txt"]


def test_a_file_that_is_named_twice_is_read_once(tree: Path) -> None:
    assert ids(["top.py", "docs", "docs/a.md", str(tree / "top.py")]) == ["top.py", *ALL]


def test_outside_of_the_root_names_begin_at_what_was_given(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree / "docs/deep")
    assert ids(["../../docs"]) == ["docs/a.md", "docs/b.md", "c.txt"]
    assert ids(["../a.md"]) == ["a.md"]
    assert ids(["."], root=tree) == ["docs/deep/c.txt"]


def test_a_hidden_file_is_read_where_it_is_named(tree: Path) -> None:
    assert ids([str(tree / "docs/.hidden")]) == ["docs/.hidden"]


@pytest.mark.parametrize("path", ["nothing", "docs/*.rst"])
@pytest.mark.usefixtures("tree")
def test_a_path_that_names_nothing_is_an_error(path: str) -> None:
    with pytest.raises(NothingThereError, match="no such file"):
        ids([path])


def test_what_cannot_be_looked_at_is_reported(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may look at everything, so the system's refusals are told here."""
    odd = tree / "docs" / os.fsdecode(b"bad\xff")
    odd.mkdir()
    (odd / "x.md").write_text("x")
    scandir, is_file = os.scandir, Path.is_file

    def closed(path: Any) -> Any:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    def hidden(path: Path) -> bool:
        if path.name == "b.md":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(os, "scandir", closed)
    monkeypatch.setattr(Path, "is_file", hidden)
    unread: list[Unread] = []
    found = [file.doc_id for file in Finder(tree, report=unread.append).find(["docs"])]
    assert found == ["docs/a.md"]
    assert [(each.why, each.place and each.place.path) for each in unread] == [
        ("Permission denied", "docs/b.md"),
        ("its name is not UTF-8, which ids are", "docs/bad\udcff/x.md"),
        ("Permission denied", "docs/deep"),
    ]


def test_a_place_holds_what_lies_below_it() -> None:
    assert Place("s", "a").holds(Place("s", "a"))
    assert Place("s", "a").holds(Place("s", "a/b"))
    assert Place("s", ".").holds(Place("s", "a"))
    for other in (Place("t", "a"), Place("s", "ab"), Place("s", ".")):
        assert not Place("s", "a").holds(other)


def at(path: Path, name: str = "") -> SourceFile:
    return SourceFile(path, Place("here", name or path.name), path.stat().st_size, 1_700_000_000.9)


def read(*paths: Path, prefix: str = "", mark_lines: bool = False) -> tuple[list[Document], list[Unread]]:
    unread: list[Unread] = []
    reader = Reader(unread.append, prefix=prefix, mark_lines=mark_lines)
    files = [at(path) for path in paths]
    documents = list(reader.documents(files))
    assert reader.bytes_read == sum(file.size for file in files)
    return documents, unread


def write(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_markdown_keeps_its_text_and_takes_its_title(tmp_path: Path) -> None:
    text = "```\n# a comment\n```\n\n# The *title* #\n\nText.\n"
    (document,), unread = read(write(tmp_path, "a.md", text), prefix="p/")
    facts = {
        "path": "a.md",
        "source": "here",
        "size": len(text),
        "modified_time": "2023-11-14T22:13:20Z",
        "prefix": "p/",
        "media_type": "text/markdown",
    }
    assert document == Document(
        "p/a.md", text, title="The *title*", media_type="text/markdown", metadata={"file": facts}
    )
    assert unread == []


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("## second\n# first", "first"),
        ("#hashtag", ""),
        ("~~~\n```\n# in\n~~~\n# out", "out"),
        ("no heading", ""),
        ("    # code", ""),
    ],
)
def test_a_title_is_a_heading_of_the_first_level(text: str, title: str) -> None:
    assert markdown_title(text) == title


def test_what_decodes_as_text_is_text(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, "a.adoc", "= Title\n"),
        write(tmp_path, "b.proto", 'syntax = "proto3";'),
        write(tmp_path, "c", "naïve"),
        write(tmp_path, "d.txt", "\ufeffmark".encode()),
        write(tmp_path, "e.txt", "sixteen".encode("utf-16")),
    ]
    documents, unread = read(*paths)
    assert [each.text for each in documents] == [
        "= Title\n",
        'syntax = "proto3";',
        "naïve",
        "mark",
        "sixteen",
    ]
    assert {(each.media_type, each.title == each.doc_id) for each in documents} == {("", True)}
    assert unread == []


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"a\0b", b"\xff\xff", b"\xff\xfea"])
def test_what_does_not_is_none(data: bytes) -> None:
    assert decoded(data) is None


def test_binary_and_empty_files_are_passed_over_by_name(tmp_path: Path) -> None:
    documents, unread = read(write(tmp_path, "a.png", b"\x89PNG"), write(tmp_path, "b.py", " \n"))
    assert documents == []
    assert [(Path(each.name).name, each.why, each.kind) for each in unread] == [
        ("a.png", "not text", "skipped"),
        ("b.py", "empty", "skipped"),
    ]


def test_a_file_that_cannot_be_read_fails_and_the_rest_goes_on(tmp_path: Path) -> None:
    cut = write(tmp_path, "cut.jsonl.gz", gzip.compress(b'{"doc_id":"a","text":"x"}\n' * 999)[:-9])
    wrong = write(tmp_path, "wrong.jsonl.gz", gzip.compress(b"x" * 99)[:12] + b"\xff" * 20)
    documents, unread = read(cut, wrong, write(tmp_path, "z.txt", "fine"))
    assert documents[-1].text == "fine"
    assert [each.kind for each in unread] == ["failed", "failed"]


def test_two_files_are_never_one_document(tmp_path: Path) -> None:
    unread: list[Unread] = []
    paths = [write(tmp_path, "a.txt", "one"), write(tmp_path, "b.txt", "two")]
    files = [at(path, "same") for path in paths]
    assert [each.text for each in Reader(unread.append).documents(files)] == ["one"]
    assert (unread[0].kind, "already" in unread[0].why) == ("failed", True)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.ndjson"])
def test_json_lines_end_at_line_feeds_alone(tmp_path: Path, name: str) -> None:
    lines: list[dict[str, Any]] = [
        {"doc_id": "1", "text": "a\u2028b\x85c", "title": "t\u2029", "metadata": {"n": 1}},
        {"doc_id": "2", "text": "x\ry\x0bz"},
    ]
    content = "\n".join(json.dumps(each, ensure_ascii=False) for each in lines).encode() + b"\n\n"
    data = gzip.compress(content) if name.endswith("gz") else content
    documents, unread = read(write(tmp_path, name, data), prefix="p/")
    assert documents == [
        Document("p/1", "a\u2028b\x85c", title="t\u2029", metadata={"n": 1}),
        Document("p/2", "x\ry\x0bz"),
    ]
    assert unread == []


def test_a_bad_line_fails_by_its_number_and_the_rest_goes_on(tmp_path: Path) -> None:
    bad = ["no json", "[1]", '{"text":"x"}', '{"doc_id":7,"text":"x"}', '{"doc_id":"a","metadata":[]}']
    bad += ['{"doc_id":"a","metadata":{"n":NaN}}', '{"doc_id":"a","chunks":["x"]}', "[" * 100_000, '"\xff']
    lines = "\n".join([*bad, '{"doc_id":"good","text":"x"}'])
    documents, unread = read(write(tmp_path, "a.jsonl", lines))
    assert [each.doc_id for each in documents] == ["good"]
    assert [each.name.rpartition(":")[2] for each in unread] == [str(n) for n in range(1, len(bad) + 1)]
    assert {each.kind for each in unread} == {"failed"}


def test_a_line_is_marked_only_where_a_folder_is_kept_in_step(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"doc_id":"a","text":"x","metadata":{"n":1}}\n')
    assert read(path)[0][0].metadata == {"n": 1}
    (marked,), _ = read(path, prefix="p/", mark_lines=True)
    assert marked.metadata == {"n": 1, "file": {"path": "a.jsonl", "source": "here", "prefix": "p/"}}


def test_a_file_that_is_too_large_fails_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    with path.open("wb") as sparse:
        sparse.truncate(LARGEST_FILE + 1)
    documents, unread = read(path)
    assert documents == []
    assert "too many for one document" in unread[0].why


def test_ragctls_own_key_is_no_front_matter(tmp_path: Path) -> None:
    (document,), unread = read(write(tmp_path, "a.md", f"---\nfile: mine\ntitle: {'t' * 2000}\n---\ntext"))
    assert document.metadata["file"]["path"] == "a.md"
    assert document.title == "t" * 1000
    assert [(each.kind, "ragctl's own" in each.why) for each in unread] == [("warning", True)]


def test_keys_that_no_document_has_are_named_once(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"doc_id":"a","text":"x","url":"u"}\n' * 3)
    documents, unread = read(path)
    assert len(documents) == 3
    assert [(each.kind, each.why) for each in unread] == [
        ("warning", "the key 'url' is not stored; put it into metadata")
    ]


def test_a_line_may_bring_its_chunks() -> None:
    line = b'{"doc_id":"a","text":"ab","chunks":[{"text":"ab","vector":[0.5,1]}],"embedder_fingerprint":"f"}'
    document, unknown = json_document(line)
    assert document.chunks == [Chunk("ab", vector=[0.5, 1])]
    assert (document.embedder_fingerprint, unknown) == ("f", [])


PAGE = """<!DOCTYPE html><html><head><title>The &amp; page</title><style>p {}</style></head>
<body><nav>Menu</nav><h1>Head<b>ing</b></h1><p>One <i>two</i>
 three.<p>Four<br>five<script>if (a < b) evil()</script>
<ul><li>first<li><p>second</p></ul><pre><code># no heading
  kept</code></pre><table><tr><td>a</td><td>b</td></tr></table><div>end</div></body></html>"""


def test_html_becomes_light_markdown() -> None:
    title, text = html_text(PAGE)
    assert title == "The & page"
    assert text == (
        "# Heading\n\nOne two three.\n\nFour five\n\n- first\n\n- second\n\n"
        "```\n# no heading\n  kept\n```\n\na b\n\nend"
    )


def test_broken_html_is_still_read() -> None:
    assert html_text("<head><p>lost<body><h1>T</h1><p>found</b></p></h2><pre>x") == (
        "T",
        "# T\n\nfound\n\n```\nx\n```",
    )
    assert html_text("") == ("", "")


@pytest.mark.parametrize(
    "data",
    [
        "<p>né".encode(),
        b"\xef\xbb\xbf" + "<p>né".encode(),
        "<p>né".encode("utf-16"),
        '<meta charset="iso-8859-1"><p>né'.encode("latin-1"),
        '<meta http-equiv=x content="text/html; charset=koi8-r"><p>né'.encode("windows-1252"),
        "<meta charset=nonsense><p>né".encode(),
        "<p>né".encode("windows-1252"),
    ],
)
def test_a_page_is_decoded_as_browsers_do(data: bytes) -> None:
    text = html_text(decode_html(data))[1]
    assert text == ("nИ" if b"koi8" in data else "né")


def test_an_html_file_is_a_markdown_document(tmp_path: Path) -> None:
    (document,), _ = read(write(tmp_path, "a.HTML", PAGE))
    assert (document.title, document.media_type) == ("The & page", "text/markdown")

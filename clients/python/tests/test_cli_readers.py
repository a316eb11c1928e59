"""Files of people as texts: what is found in them, and what is said of those that are broken."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pypdf
import pytest

from rag_client.cli import readers
from rag_client.cli.readers import UnreadableError, docx
from rag_client.cli.readers import pdf as pdf_reader
from rag_client.cli.readers.front_matter import MOST_VALUES, split
from tests.e2e.real_files import pdf, with_body, word

if TYPE_CHECKING:
    from rag_client.cli.readers import Content


def content(name: str, data: bytes | str) -> Content:
    found = readers.read(readers.kind_of(Path(name)), data if isinstance(data, bytes) else data.encode())
    assert found is not None
    return found


def refused(name: str, data: bytes) -> str:
    with pytest.raises(UnreadableError) as refusal:
        readers.read(readers.kind_of(Path(name)), data)
    return str(refusal.value)


INFO = {"Title": "A title", "Author": "Ada", "CreationDate": "D:20240102030405+01'00'"}


def test_a_pdf_is_its_pages_and_what_it_says_of_itself() -> None:
    found = content("a.pdf", pdf(["First (page)\nsecond line", "", "Third"], INFO))
    assert (found.text, found.title, found.media_type) == (
        "First (page)\nsecond line\n\nThird",
        "A title",
        "",
    )
    assert found.metadata == {"author": "Ada", "created_time": "2024-01-02T03:04:05+01:00", "page_count": 3}
    assert found.warnings == ()


def test_words_that_a_line_end_broke_are_put_together() -> None:
    text = "The hyphen-\nation of well-\nknown words, well-known as GPT-\n4, and of Anglo-\nSaxon."
    assert content("a.pdf", pdf([text])).text == (
        "The hyphenation\nof well-known\nwords, well-known as GPT-4\n, and of Anglo-Saxon\n."
    )


def test_running_lines_and_page_numbers_go() -> None:
    pages = [
        f"A Book About Bees\nChapter {'iv'[n % 2]}\nText of page {'abcdef'[n]}.\nPage {n + 1} of 6"
        for n in range(6)
    ]
    assert content("a.pdf", pdf(pages)).text == "\n\n".join(f"Text of page {each}." for each in "abcdef")


def test_numbers_that_do_not_count_the_pages_are_text() -> None:
    pages = [f"Yield of hive {number}\nmuch honey {number}" for number in (7, 3, 12, 5)]
    assert content("a.pdf", pdf(pages)).text == "\n\n".join(pages)


def test_lines_that_few_pages_share_stay() -> None:
    pages = ["Same\na", "Same\nb", "c\nd", "e\nf"]
    assert content("a.pdf", pdf(pages)).text == "Same\na\n\nSame\nb\n\nc\nd\n\ne\nf"
    assert content("a.pdf", pdf(["only 1", "only 2", "only 3", "only 4"])).text.count("only") == 4


def test_what_does_not_print_is_left_out() -> None:
    assert pdf_reader.clean(["ﬁne\x00 o\u00adne\ud800"]) == "fine one?"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a PDF",
        b"%PDF-1.4\nrubbish",
        pdf(["some text"] * 3)[:400],
        b"%PDF-1.4\n%%EOF",
        b"%PDF-" * 500,
    ],
)
def test_a_broken_pdf_says_so(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    assert refused("a.pdf", data).startswith("broken: ")
    assert capfd.readouterr() == ("", "")


def test_a_scanned_pdf_is_called_that() -> None:
    assert refused("a.pdf", pdf(["", ""])) == "it has no text: scanned pages need OCR first"


def test_a_page_that_cannot_be_read_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pypdf.PageObject.extract_text

    def broken(page: Any) -> str:
        text = whole(page)
        if "bad" in text:
            raise KeyError("/Length")
        return text

    monkeypatch.setattr(pypdf.PageObject, "extract_text", broken)
    found = content("a.pdf", pdf(["good", "bad"]))
    assert (found.text, found.metadata["page_count"]) == ("good", 2)
    assert found.warnings == ("page 2 cannot be read: KeyError: '/Length'",)
    assert refused("a.pdf", pdf(["bad"])) == "no page can be read"


def test_an_encrypted_pdf_opens_with_no_password_or_not_at_all() -> None:
    for password, said in (("", ""), ("secret", "encrypted: it needs a password")):
        writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(["hidden text"])))
        writer.encrypt(user_password=password, algorithm="RC4-128")
        file = io.BytesIO()
        writer.write(file)
        if said:
            assert refused("a.pdf", file.getvalue()) == said
        else:
            assert content("a.pdf", file.getvalue()).text == "hidden text"


@pytest.mark.parametrize(
    ("bound", "value", "said"),
    [
        ("MOST_PAGES", 2, "3 pages are too many, there may be 2"),
        ("MOST_CHARACTERS", 10, "it has more than 10 characters"),
        ("MOST_SECONDS", -1.0, "reading it takes longer than"),
    ],
)
def test_a_pdf_that_is_too_much_is_refused(
    monkeypatch: pytest.MonkeyPatch, bound: str, value: float, said: str
) -> None:
    monkeypatch.setattr(pdf_reader, bound, value)
    assert said in refused("a.pdf", pdf(["some text"] * 3))


PARAGRAPHS = [
    ("Title", "The report"),
    ("Heading 1", "First\tpart"),
    ("Normal", "A text."),
    ("List Bullet", "one"),
    ("List Number", "two"),
    ("Heading 2", "Deeper"),
    ("Heading 9", "Deepest"),
]


def test_a_word_document_keeps_headings_lists_and_tables() -> None:
    found = content("a.docx", word(PARAGRAPHS, table=[["a", "b"], ["1", "2\n3"]]))
    assert found.text == (
        "# The report\n\n# First part\n\nA text.\n\n- one\n\n- two\n\n## Deeper\n\n###### Deepest\n\n"
        "| a | b |\n| 1 | 2 3 |"
    )
    assert (found.title, found.media_type) == ("The report", "text/markdown")
    assert found.metadata["author"] == "Ada"
    assert str(found.metadata["created_time"]).endswith("Z")
    assert content("a.docx", word(PARAGRAPHS, title="Said")).title == "Said"


BODY = """
<w:sdt><w:sdtContent><w:p><w:r><w:t>in a control</w:t></w:r></w:p></w:sdtContent></w:sdt>
<w:p><w:r><w:t>stays </w:t></w:r><w:ins><w:r><w:t>inserted</w:t></w:r></w:ins>
<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del><w:r><w:noBreakHyphen/><w:t>end</w:t></w:r></w:p>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>outer</w:t></w:r></w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>inner</w:t></w:r></w:p>
</w:tc></w:tr></w:tbl></w:tc><w:sdt><w:sdtContent><w:tc><w:p><w:r><w:t>next</w:t></w:r></w:p></w:tc></w:sdtContent>
</w:sdt></w:tr><w:tr><w:tc><w:p/></w:tc></w:tr></w:tbl>
<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>listed</w:t><w:br/><w:t>below</w:t></w:r></w:p><w:p/>
"""


def test_a_word_document_is_read_as_the_page_shows_it() -> None:
    assert content("a.docx", with_body(word([]), BODY)).text == (
        "in a control\n\nstays inserted-end\n\n| outer | inner | | next |\n\n- listed\nbelow"
    )


def test_a_broken_word_document_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = word(PARAGRAPHS)
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as package:
        package.writestr("a.txt", "no DOCX")
    for data in (b"", b"PK\x03\x04", whole[:-100], other.getvalue(), with_body(whole, "<w:p>")):
        assert refused("a.docx", data).startswith("broken: ")
    assert refused("a.docx", with_body(whole, "<w:p/>")) == "it has no text"
    monkeypatch.setattr(docx, "LARGEST_PART", 1000)
    assert "which is too much" in refused("a.docx", whole)


def test_a_zip_bomb_is_not_unpacked() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("word/document.xml", b" " * (docx.LARGEST_PART + 1))
    assert len(file.getvalue()) < 100_000
    assert "which is too much" in refused("a.docx", file.getvalue())


RST = """\
:Author: Ada
:Date: 2024-01-02
:Kind of text: guide

=========
The guide
=========

Text with :ref:`a link <there>`, :class:`~rag.Store`, ``code`` and |nothing|.

.. toctree::
   other

.. contents::

Part
====

.. versionadded:: 1.2
   Said :func:`here`.

.. note:: Take care.

- one
- two

  more

Deeper
------

::

    # no heading

===  ===
a    b
===  ===
1    2
===  ===

.. a comment

| line
| by line
"""


def test_restructured_text_becomes_markdown() -> None:
    found = content("a.rst", RST)
    assert found.text == (
        "# The guide\n\nText with a link, rag.Store, code and |nothing|.\n\n## Part\n\n1.2\n\nSaid here.\n\n"
        "Take care.\n\n- one\n\n- two\n\n  more\n\n### Deeper\n\n```\n# no heading\n```\n\n"
        "| a | b |\n| 1 | 2 |\n\nline\nby line"
    )
    assert (found.title, found.media_type) == ("The guide", "text/markdown")
    assert found.metadata == {"author": "Ada", "date": "2024-01-02T00:00:00Z", "kind_of_text": "guide"}


def test_sections_without_one_over_them_are_of_the_first_level() -> None:
    found = content("a.rst", "One\n===\n\na\n\nTwo\n===\n\nb\n")
    assert (found.text, found.title) == ("# One\n\na\n\n# Two\n\nb", "One")


DANGEROUS = """\
.. include:: {secret}

.. raw:: html
   :file: {secret}

.. raw:: html

   <script>evil()</script>

.. csv-table::
   :file: {secret}

.. literalinclude:: {secret}

Harmless.

Too short
=

*unclosed
"""


def test_restructured_text_reaches_for_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_text("the secret")
    found = content("a.rst", DANGEROUS.format(secret=tmp_path / "secret"))
    assert "Harmless." in found.text
    assert "secret" not in found.text
    assert "evil" not in found.text
    assert capfd.readouterr() == ("", "")


def test_what_nests_too_deeply_is_refused() -> None:
    deep = "".join("  " * depth + "- x\n\n" for depth in range(600))
    assert refused("a.rst", deep.encode()) == "it is nested too deeply"


FRONT = """\
---
title: "The title"
tags: [a, b]
date: 2024-01-02
changed: 2024-01-02 03:04:05
zoned: 2024-01-02T03:04:05+02:00
draft: false
big: 123456789012345678901
country: NO
post: 01234
time: 12:30
small: -1.5e3
hex: 0x1F
odd: .nan
7: seven
at: {lat: 1.5, on: 2024-01-02}
nothing:
---

# Heading
"""


def test_yaml_front_matter_becomes_metadata() -> None:
    found = content("a.md", FRONT)
    assert (found.text, found.title, found.warnings) == ("# Heading\n", "The title", ())
    assert found.metadata == {
        "tags": ["a", "b"],
        "date": "2024-01-02T00:00:00Z",
        "changed": "2024-01-02T03:04:05Z",
        "zoned": "2024-01-02T03:04:05+02:00",
        "draft": False,
        "big": "123456789012345678901",
        "country": "NO",
        "post": "01234",
        "time": "12:30",
        "small": -1500.0,
        "hex": 31,
        "odd": "nan",
        "7": "seven",
        "at": {"lat": 1.5, "on": "2024-01-02T00:00:00Z"},
        "nothing": None,
    }


def test_toml_front_matter_becomes_metadata() -> None:
    found = content("a.md", '+++\r\ntitle = " "\r\nday = 2024-01-02\r\nat = 07:32:00\r\n+++\r\n# Heading\r\n')
    assert (found.text, found.title.strip()) == ("# Heading\r\n", "Heading")
    assert found.metadata == {"day": "2024-01-02T00:00:00Z", "at": "07:32:00"}


@pytest.mark.parametrize(
    "text",
    [
        "# No front matter\n\n---\na: b\n---\n",
        "---\n\nA line across the page.",
        "---\nA sentence, no mapping.\n---\nText",
        "--- a: b\n---\n",
        "",
    ],
)
def test_what_is_no_front_matter_stays(text: str) -> None:
    assert split(text).rest == text
    assert split(text).values == {}
    assert split(text).warnings == ()


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ("a: b: c", "mapping values are not allowed"),
        ("a: !!python/object/apply:os.system [false]", "could not determine a constructor"),
        (BOMB, f"more than {MOST_VALUES} values"),
        ("a: &a [*a]", "nested too deeply"),
        ("a: " + "[" * 600, "nested too deeply"),
    ],
)
def test_bad_front_matter_is_named_and_stays_in_the_text(inner: str, said: str) -> None:
    text = f"---\n{inner}\n---\nText\n"
    found = content("a.md", text)
    assert (found.text, found.metadata) == (text, {})
    assert said in found.warnings[0]


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [
        ("pypdf", "a.pdf", "readers"),
        ("docx", "a.docx", "readers"),
        ("docutils", "a.rst", "readers"),
        ("yaml", "a.md", "cli"),
    ],
)
def test_a_missing_extra_is_named_and_stops_no_other_file(
    tmp_path: Path, module: str, name: str, extra: str
) -> None:
    (tmp_path / name).write_text("---\na: b\n---\n%PDF-")
    (tmp_path / "fine.txt").write_text("fine")
    program = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from rag_client.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "ingest", "--dry-run", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1 documents would be sent, 1 failed, 0 skipped" in done.stdout
    assert f"{name}: {module} is missing: pip install 'rag-grpc-client[{extra}]'" in done.stderr


def test_no_reader_is_imported_before_its_first_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    program = (
        "import sys; from rag_client.cli import main; main(sys.argv[1:])\n"
        "sys.exit(str({'pypdf', 'docx', 'lxml', 'docutils', 'yaml'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, "ingest", "--dry-run", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"

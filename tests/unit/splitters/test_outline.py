"""Where headings and whole blocks are, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.splitters.outline import HEADING_CHARACTERS, outline


def headings(text: str) -> list[tuple[str, ...]]:
    found = outline(text)
    paths = [found.shared_headings(section, section) for section in range(len(found))]
    return [path for path in paths if path]


def sections(text: str) -> list[str]:
    found = outline(text)
    return [text[start : found.end(section)] for section, start in enumerate(found.starts)]


def bodies(text: str) -> list[str]:
    found = outline(text)
    return [text[start : found.end(section)] for section, start in enumerate(found.bodies)]


def blocks(text: str) -> list[str]:
    return [text[start:end] for start, end in outline(text).blocks]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A\n\ntext\n\n## B\n\ntext\n# C", [("A",), ("A", "B"), ("C",)]),
        ("# A\n\n## B\n  \n### C\n## D", [("A", "D")]),
        ("## A\n# B\n### C\n\ntext", [("B", "C")]),
        ("### deep\n-\n# top\ntext\n### deep again", [("deep",), ("top",), ("top", "deep again")]),
        ("   # three spaces", [("three spaces",)]),
        ("# closed ##  \nx\n# not#closed#", [("closed",), ("not#closed#",)]),
        ("# A\r\ntext\r\n## B\r\n", [("A",), ("A", "B")]),
        ("# A\rtext\r## B", [("A",), ("A", "B")]),
        ("A\n===\ntext\n\nB\n---\n", [("A",), ("A", "B")]),
        ("first\nline two\n===\n", [("first line two",)]),
        ("text\n\n  \nB\n---\n", [("B",)]),
        ("#\ttab", [("tab",)]),
        ("##\n# A", [("A",)]),
        ("---\ntitle: x\n# comment\n---\n# A", [("A",)]),
        ("```\n# no\n```\n# A", [("A",)]),
        ("~~~~ lang\n# no\n~~~\n# no\n~~~~\n# A", [("A",)]),
        ("```not a fence``` here\n# A", [("A",)]),
        ("<!-- \n# no\n\n# no -->\n# A", [("A",)]),
        ("<div>\n# no\n\n# A\n</div>", [("A",)]),
        ("<pre>\n# no\n\n# no</pre>\n# A", [("A",)]),
        ("<https://example.org>\n# A", [("A",)]),
    ],
)
def test_headings(text: str, expected: list[tuple[str, ...]]) -> None:
    assert headings(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#hashtag",
        "####### seven",
        "    # indented code",
        "text # in a line",
        "> # quoted",
        "- # in a list",
        "\\# escaped",
        "***\n---\n",
        "text\n\n---\n",
        "- item\n---\n",
        "> quote\n===\n",
        "| a |\n|---|\n| b |",
        "```\n# never closed\n",
        "<!-- never closed\n\n# no",
        "```\ncode\n---\n```",
        "    code\n---\n",
    ],
)
def test_no_headings(text: str) -> None:
    assert headings(text) == []


def test_a_section_runs_to_the_next_heading_and_its_body_begins_behind_its_own() -> None:
    text = "intro\n# A\nbody\n## B\n"
    assert sections(text) == ["intro\n", "# A\nbody\n", "## B\n"]
    assert bodies(text) == ["intro\n", "body\n", ""]


def test_sections_share_the_headings_that_both_are_under() -> None:
    found = outline("# A\n\nx\n\n## B\n\nx\n\n### C\n\nx\n\n## D\n\nx\n\n# E\n\nx")
    shared = {(one, two): found.shared_headings(one, two) for one in range(5) for two in range(one, 5)}
    assert shared[1, 2] == ("A", "B")
    assert shared[2, 3] == shared[0, 3] == ("A",)
    assert shared[2, 2] == ("A", "B", "C")
    assert shared[0, 4] == shared[3, 4] == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n```py\nx\n\ny\n```\nb", ["```py\nx\n\ny\n```"]),
        ("  ~~~~\nx\n~~~\n~~~~\nb", ["  ~~~~\nx\n~~~\n~~~~"]),
        ("```\nx", ["```\nx"]),
        ("```` `x` ````\nb", []),
        ("a\n\n| a | b |\n|---|:-:|\n| c | d |\n\nb", ["| a | b |\n|---|:-:|\n| c | d |"]),
        ("a | b\n- | -\nc | d\ne", ["a | b\n- | -\nc | d"]),
        ("a\n\n| - | - |\n", []),
        ("| - | - |\n", []),
        ("a | b\n---\n", []),
        ("| a |\n|---|\n# b | c", ["| a |\n|---|"]),
        ("<pre>\nx\n\ny</pre>\nb", ["<pre>\nx\n\ny</pre>"]),
        ("10. a\n\n    ```sh\n    x\n\n    ```\nb", ["    ```sh\n    x\n\n    ```"]),
        ("-   a\n\n    ~~~\n    | a |\n    |---|\n    ~~~\n", ["    ~~~\n    | a |\n    |---|\n    ~~~"]),
        ("    ```\n    x\n# A\n    ```\n", []),
    ],
)
def test_blocks_that_are_best_kept_whole(text: str, expected: list[str]) -> None:
    assert blocks(text) == expected


def test_what_has_more_headings_than_text_has_none_any_more() -> None:
    found = headings("# a\nx\n" * 5000)
    assert 2000 < len(found) < 3000
    assert set(found) == {("a",)}
    assert len(headings("# a\n" + "word " * 10 + "\n") * 5000) == 5000


def test_a_long_heading_is_cut() -> None:
    atx = headings("# " + "long " * 1000)
    underlined = headings("long " * 1000 + "\n===\n")
    assert len(atx[0][0]) <= HEADING_CHARACTERS
    assert len(underlined[0][0]) <= HEADING_CHARACTERS


line = st.sampled_from(
    [
        "# a",
        "## b",
        "text",
        "",
        "  ",
        "===",
        "---",
        "```",
        "~~~",
        "- x",
        "> q",
        "<!--",
        "-->",
        "<div>",
        "</pre>",
        "<pre>",
        "|a|b|",
        "|-|-|",
        "    ```",
    ]
)


@given(st.lists(line, max_size=30), st.sampled_from(["\n", "\r\n", "\r"]))
def test_sections_cover_the_text_without_gap_or_overlap(lines: list[str], line_end: str) -> None:
    text = line_end.join(lines)
    found = outline(text)
    assert "".join(sections(text)) == text
    edges = [*found.starts, len(text)]
    assert edges == sorted(edges)
    assert all(start <= body <= end for start, body, end in zip(edges, found.bodies, edges[1:], strict=False))
    assert headings(text) == headings("\n".join(lines))
    spans = [place for block in found.blocks for place in block]
    assert spans == sorted(spans)

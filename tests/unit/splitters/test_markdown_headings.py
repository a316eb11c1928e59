"""Where headings are, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.splitters.markdown import HEADING_CHARACTERS, sections


def headings(text: str) -> list[tuple[str, ...]]:
    return [section.headings for section in sections(text) if section.headings]


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
    assert [text[each.start : each.end] for each in sections(text)] == ["intro\n", "# A\nbody\n", "## B\n"]
    assert [text[each.body : each.end] for each in sections(text)] == ["intro\n", "\nbody\n", "\n"]


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
    ]
)


@given(st.lists(line, max_size=30), st.sampled_from(["\n", "\r\n", "\r"]))
def test_sections_cover_the_text_without_gap_or_overlap(lines: list[str], line_end: str) -> None:
    text = line_end.join(lines)
    found = list(sections(text))
    assert "".join(text[each.start : each.end] for each in found) == text
    assert all(each.start <= each.body <= each.end for each in found)
    assert [each.headings for each in found] == [each.headings for each in sections("\n".join(lines))]

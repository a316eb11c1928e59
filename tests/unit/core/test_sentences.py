"""Sentences: whole ones, in every script, and no character lost."""

# ruff: noqa: RUF001 - other scripts have marks and letters like ours

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.sentences import LONGEST_SENTENCE, sentences


def cut(text: str) -> list[str]:
    return [text[span.start : span.end] for span in sentences(text)]


def whole(*expected: str, separator: str = " ") -> None:
    """Join sentences and expect to get them back."""
    assert cut(separator.join(expected)) == list(expected)


@pytest.mark.parametrize(
    "parts",
    [
        ("It rained.", "Nobody came!", "Why?", "We do not know"),
        ("Dr. Smith and Mrs. Jones met J. S. Bach.", "Gen. Lee left."),
        ("They moved to the U.S. Army base.", "It was in the U.S.", "The base closed at 5 p.m.", "He slept."),
        ("Use a cache, e.g. Redis, i.e. something fast, etc. and so on.", "Done."),
        ("It costs 3.14 dollars, or 1,000.50 with tax.", "Version 2.0.1 is out."),
        ("See Fig. 3 and No. 5 on pp. 10 to 12.", "He said no.", "Nobody spoke."),
        ("C. E. Webber wrote FCC v. Pacifica.", "It was long.:12", "Not so.[citation needed]", "The end."),
        ("Acme Inc. Chairman Bob spoke.", "He works for Acme Inc.", "The firm is old."),
        ("Open example.com and read setup.py or Node.js docs.", "Then stop."),
        ('"Stop!" he said.', 'She asked, "Why?"', "(Nobody knew.)", "**Bold ends.**", "Next."),
        ("Wait... what?", "Well…", "Yes."),
        ("What?!", "Really!!", "Yes."),
        ("Er kam am 3. Oktober zu Prof. Müller, z.B. wegen Nr. 7.", "Dann ging er."),
        ("M. Dupont habite p. 12.", "Il est là."),
        ("Он живёт на ул. Ленина, т.е. в центре.", "Это в 1990 г.", "Он там."),
        ("¿Qué pasa, Sr. López?", "¡Nada!", "Adiós."),
        ("यह एक वाक्य है।", "वह दूसरा है॥", "तीसरा?"),
        ("هل أنت هنا؟", "نعم.", "هذا جيد."),
        ("یہ ایک جملہ ہے۔", "وہ دوسرا ہے۔"),
        ("Սա առաջինն է։", "Սա երկրորդն է։"),
        ("Αυτό είναι ένα.", "Αυτό είναι δύο."),
    ],
    ids=lambda parts: parts[0][:20],
)
def test_sentences_with_spaces_between_them(parts: tuple[str, ...]) -> None:
    whole(*parts)


@pytest.mark.parametrize(
    "parts",
    [
        ("今日は晴れです。", "明日は雨です！", "本当？", "はい"),
        ("「今日は。」と言った。", "それだけ。"),
        ("他说：“你好。”", "她走了。", "价格是3.5元。"),
        ("這是第一句[1]。", "這是第二句。[2]", "第三句！"),
        ("ཀ་ཁ།", "ག་ང་།"),
        ("ពាក្យ។", "ពាក្យ"),
    ],
    ids=lambda parts: parts[0],
)
def test_scripts_that_need_no_space(parts: tuple[str, ...]) -> None:
    whole(*parts, separator="")


def test_citations_stay_with_their_sentence() -> None:
    whole("It rained [1].", "It poured.[2]", "It froze. [3][4]", "It thawed [1, 2]. [3-5]", "The end.")
    whole("It rained.[1]", "It froze.¹²", "It thawed.【3】", "End [^1].")
    assert cut("It rained.[1]It froze.") == ["It rained.[1]", "It froze."]
    assert cut("It rained.\n[1]\nIt froze.") == ["It rained.\n[1]", "It froze."]
    assert cut("It rained.[1](https://example.org/a.b) It froze.") == [
        "It rained.[1](https://example.org/a.b)",
        "It froze.",
    ]


def test_lists_and_headings_are_cut_by_line() -> None:
    assert cut("# Title\nThree things:\n- one thing\n- two things\n\nThe end") == [
        "# Title",
        "Three things:",
        "- one thing",
        "- two things",
        "The end",
    ]
    assert cut("1. First. 2 a.\n2. Second\n(3) Third\na. Fourth") == [
        "1. First.",
        "2 a.",
        "2. Second",
        "(3) Third",
        "a. Fourth",
    ]
    assert cut("| a | b |\n|---|---|\n| c | d |") == ["| a | b |\n|---|---|", "| c | d |"]


def test_wrapped_prose_is_joined_and_short_lines_are_not() -> None:
    wrapped = (
        "The quick brown fox jumps over the lazy dog of\nProfessor Higgins, who did not expect it at\nall."
    )
    assert cut(wrapped) == [wrapped]
    assert cut("Apples\nOranges\nPears") == ["Apples", "Oranges", "Pears"]
    assert cut("A title\nThe quick brown fox jumps over the lazy dog of Professor Higgins.") == [
        "A title",
        "The quick brown fox jumps over the lazy dog of Professor Higgins.",
    ]


def test_text_without_capitals() -> None:
    whole("the cat sat .", "it was black .", "i saw it")
    whole("yes it is.", "i think so.", "are you sure?", "no")


def test_marks_alone_join_a_neighbour() -> None:
    assert cut("... Well.\n---\nYes.") == ["... Well.\n---", "Yes."]
    assert cut("—\nHello.") == ["—\nHello."]
    assert cut("***") == ["***"]
    assert cut(" \n\t\u2028") == []
    assert cut("") == []


def test_what_has_no_stops_is_cut_at_white_space() -> None:
    text = "word " * 1000
    pieces = cut(text)
    assert all(len(piece) <= LONGEST_SENTENCE and not piece.strip("word ") for piece in pieces)
    assert " ".join(pieces) == text.strip()
    assert [len(piece) for piece in cut("x" * 2500)] == [1000, 1000, 500]


PIECES = st.sampled_from(
    [
        "Dr.",
        "U.S.",
        "e.g.",
        "3.14",
        "[1]",
        "。",
        "」と",
        "।",
        ". ",
        "? ",
        "! ",
        "\n",
        "\n\n",
        "\r\n",
        "\u2028",
        " ",
        "- ",
        "1. ",
        *["word", "Word", "日本", "\u200d", "\u0301", "#", "|", "```", "…", '"', "(", ")", "*"],
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join)))
def test_spans_are_in_order_and_cover_every_visible_character(text: str) -> None:
    spans = sentences(text)
    assert all(one.end <= two.start for one, two in pairwise(spans))
    assert all(text[span.start : span.end].strip() == text[span.start : span.end] != "" for span in spans)
    covered = "".join(text[span.start : span.end] for span in spans)
    assert "".join(covered.split()) == "".join(text.split())


@given(st.lists(PIECES, max_size=40).map("".join))
def test_a_sentence_alone_has_words_unless_the_text_has_none(text: str) -> None:
    pieces = cut(text)
    if len(pieces) > 1:
        assert all(any(map(str.isalnum, piece)) for piece in pieces)


@pytest.mark.parametrize(
    "unit",
    ["a. ", "[1]", "[1", "1.", ".\n", "\n", " ", "A\n", ". [1", "。」", "**", "\u00b9", "(", "a" * 50 + "\n"],
)
def test_time_grows_with_the_length(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    begin = time.process_time()
    sentences(text)
    assert time.process_time() - begin < 2

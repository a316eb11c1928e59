"""Which place is the best to cut at, in every script."""

from __future__ import annotations

import pytest

from rag_grpc.splitters.breaks import first_break, last_break, last_paragraph, visible_from, visible_until


def cut(text: str, lowest: int = 0, *, code: bool = False) -> list[str]:
    """Cut a text, whose last character only stands for what follows."""
    place = last_break(text, lowest, len(text) - 1, code=code)
    return [text[:place], text[place:]]


def test_paragraphs_come_before_lines_sentences_and_words() -> None:
    assert cut("a\n\nb.\nc. D e, f")[0] == "a\n\n"
    assert cut("a b.\nc. D e, f")[0] == "a b.\n"
    assert cut("a b\nc. D e, f")[0] == "a b\nc. "
    assert cut("a b\nc d e, f")[0] == "a b\n"
    assert cut("a,b c,f")[0] == "a,b "
    assert cut("a,b,c")[0] == "a,b,"


def test_the_last_break_of_the_best_kind_is_taken_and_none_before_the_lowest() -> None:
    text = "A b. C d. E f. G"
    assert cut(text)[1] == "G"
    assert cut(text[:-1] + "xG")[1] == "E f. xG"
    assert cut("A b. C d e f g", 6)[1] == "g"


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n", "\x85", "\u2028", "\u2029"])
def test_a_line_break_of_any_kind(line_break: str) -> None:
    assert cut(f"a{line_break}bx")[0] == f"a{line_break}"
    twice = f"a{line_break} {line_break}b c"
    assert last_paragraph(twice, 0, len(twice) - 1) == twice.index("b")
    once = f"a{line_break}b c"
    assert last_paragraph(once, 0, len(once) - 1) is None


@pytest.mark.parametrize(
    ("text", "behind"),
    [
        ("One two. Three fo", "Three fo"),
        ("One (two.) Three fo", "Three fo"),
        ("One, e.g. three fo", "fo"),
        ("One 3.14 th", "th"),
        ("\u4e16\u754c\u3002\u4f60\u597d", "\u4f60\u597d"),
        ("\u4e16\u754c\u3002\u300d\u4f60\u597d", "\u4f60\u597d"),
        ("\u4e16\u754c\uff0c\u4f60\u597d", "\u4f60\u597d"),
        ("\u0935\u0939\u0964 \u092f\u0939 \u0915", "\u092f\u0939 \u0915"),
        ("\u0645\u0627\u061f \u0646\u0639\u0645 \u0644", "\u0646\u0639\u0645 \u0644"),
        ("\u041a\u0442\u043e? \u041e\u043d \u0442", "\u041e\u043d \u0442"),
    ],
)
def test_sentences_of_many_scripts(text: str, behind: str) -> None:
    assert cut(text)[1] == behind


def test_wrapped_lines_are_worse_than_sentences_and_items_are_better() -> None:
    wrapped = "The first sentence\nends here. The second\ngoes on and o"
    assert cut(wrapped)[1].startswith("The second")
    items = "one. Two\n- three. Four\n- five. Six se"
    assert cut(items)[1].startswith("- five")


def test_in_code_a_line_is_better_than_a_sentence() -> None:
    text = "x = 1  # One\ny = 2  # Two. Three four"
    assert cut(text, code=True)[1].startswith("y = 2")
    assert cut(text)[1].startswith("Three")


@pytest.mark.parametrize(
    "cluster",
    [
        "\r\n",
        "e\u0301",
        "\u0939\u093f",
        "\U0001f1e9\U0001f1ea",
        "\U0001f44d\U0001f3fd",
        "\U0001f469\u200d\U0001f467",
    ],
)
def test_what_a_reader_sees_as_one_is_not_cut(cluster: str) -> None:
    for before in range(6):
        text = "x" * before + cluster * 9 + "x"
        for highest in range(before + len(cluster), len(text)):
            place = last_break(text, before + 1, highest)
            if not text[before:highest].isspace():
                assert (place - before) % len(cluster) == 0 or place == len(text)


def test_what_is_repeated_begins_with_a_sentence_or_a_word() -> None:
    text = "Alpha beta. Gamma delta epsilon zeta"
    assert text[first_break(text, 5, len(text)) :] == "Gamma delta epsilon zeta"
    assert text[first_break(text, 8, 24) :] == "Gamma delta epsilon zeta"
    assert text[first_break(text, 14, len(text)) :] == "delta epsilon zeta"
    assert text[first_break(text, 12, 20) :] == "Gamma delta epsilon zeta"
    marks = "a" + "\u0301" * 5 + "b"
    assert first_break(marks, 2, 6) == 6


def test_white_space_at_the_edges() -> None:
    text = " \u3000a b\n\x85"
    assert visible_from(text, 0, len(text)) == 2
    assert visible_until(text, 0, len(text)) == 5
    assert visible_from("  ", 0, 2) == 2
    assert visible_until("  ", 0, 2) == 0

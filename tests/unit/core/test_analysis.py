"""Texts taken apart into terms: scripts, marks, offsets, and nothing that breaks it."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.analysis import (
    LONGEST_WORD,
    MOST_QUERY_TERMS,
    PlainAnalyzer,
    query_terms,
)

PLAIN = PlainAnalyzer()


def terms(text: str) -> list[str]:
    return PLAIN.terms(text, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The dog's snake_case, v1.2!", ["the", "dog", "s", "snake", "case", "v1", "2"]),
        ("STRASSE Stra\u00dfe", ["strasse", "strasse"]),
        ("e\u0301t\u00e9 \u00e9te\u0301", ["\u00e9t\u00e9", "\u00e9t\u00e9"]),
        (
            "\u65e5\u672c\u8a9e\u3067\u3059\u3002\u732b",
            ["\u65e5\u672c", "\u672c\u8a9e", "\u8a9e\u3067", "\u3067\u3059", "\u732b"],
        ),
        ("3\u6708x", ["3", "\u6708", "x"]),
        (
            "\u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902",
            ["\u0939\u093f\u0928\u094d\u0926\u0940", "\u092e\u0947\u0902"],
        ),
        ("\u0e07\u0e48\u0e32\u0e22", ["\u0e07\u0e48\u0e32", "\u0e32\u0e22"]),
        ("\uff21\uff22\uff23 \ufb01ne \u338f", ["abc", "fine", "kg"]),
        ("\uff76\uff9e\uff77", ["\u30ac\u30ad"]),
        (
            "so\u00adft \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            ["soft", "\u0645\u06cc\u062e\u0648\u0627\u0647\u0645"],
        ),
        ("a\u200bb", ["a", "b"]),
        ("\U0001f469\u200d\U0001f680 \u20ac5", ["\U0001f469", "\U0001f680", "\u20ac", "5"]),
        ("\u0301abc", ["abc"]),
        ("a\ud800b", ["a", "b"]),
        ("", []),
        (" \t\n.!?", []),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else None,
)
def test_terms_of_many_scripts(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Caf\u00e9 na\u00efve",
        "\u65e5\u672c\u8a9e\u306e\u732b",
        "\uff21\uff22 x",
        "\u0939\u093f\u0928\u094d\u0926\u0940 text",
        "\U0001f680 up",
    ],
)
def test_offsets_are_those_of_the_original(text: str) -> None:
    for token in PLAIN.tokens(text, ""):
        assert terms(text[token.start : token.end]) == [token.term]


@given(st.text())
def test_any_text_gives_terms_that_an_index_can_hold(text: str) -> None:
    tokens = PLAIN.tokens(text, "")
    assert [each.term for each in tokens] == terms(text)
    for token in tokens:
        assert token.term.encode()
        assert not any(each.isspace() for each in token.term)
        assert 0 <= token.start < token.end <= len(text)
    assert [each.start for each in tokens] == sorted(each.start for each in tokens)


@given(st.text(), st.text())
def test_the_same_text_has_the_same_terms_wherever_it_stands(left: str, right: str) -> None:
    assert terms(f"{left}\n{right}") == terms(left) + terms(f".{right}")


def test_what_is_no_word_costs_no_more_than_words() -> None:
    began = perf_counter()
    (long,) = terms("x" * 1_000_000)
    (marks,) = terms("a" + "\u0301\u0316" * 500_000)
    terms("\u65e5" + "\u3099" * 1_000_000)
    assert perf_counter() - began < 20
    assert len(long) == LONGEST_WORD
    assert len(marks) <= LONGEST_WORD


def test_a_query_s_terms_are_counted_and_bounded() -> None:
    assert query_terms(PLAIN, "lion Lion tiger", "") == {"lion": 2, "tiger": 1}
    many = " ".join(f"w{number}" for number in range(2 * MOST_QUERY_TERMS)) + " w0"
    found = query_terms(PLAIN, many, "")
    assert len(found) == MOST_QUERY_TERMS
    assert found["w0"] == 2

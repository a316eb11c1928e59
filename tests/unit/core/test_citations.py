"""Citations: which are kept, which are removed, and which sentence has which."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.citations import checked, cited, without_citations
from rag_grpc.core.sentences import sentences


@pytest.mark.parametrize(
    ("text", "right", "removed"),
    [
        ("So it is [1].", "So it is [1].", 0),
        ("So it is [1][3].", "So it is [1].", 1),
        ("So it is [1, 2; 9].", "So it is [1][2].", 1),
        ("So it is [3].", "So it is.", 1),
        ("So it is [0].", "So it is.", 1),
        ("So it is [1, 1].", "So it is [1].", 0),
        ("\u3060\u3002\u30102\u3011", "\u3060\u3002[2]", 0),
        ("No number [a], [1a], [], [-1].", "No number [a], [1a], [], [-1].", 0),
        ("[999999999]", "[999999999]", 0),
        ("", "", 0),
    ],
)
def test_what_is_no_source_is_removed(text: str, right: str, removed: int) -> None:
    assert checked(text, {1, 2}) == (right, removed)


def test_a_number_between_two_that_were_given_may_be_missing() -> None:
    assert checked("So it is [1][2][3], and so [2].", {1, 3}) == ("So it is [1][3], and so.", 2)


@given(st.text(st.sampled_from("ab [],;.0123\n")), st.integers(0, 3))
def test_once_checked_all_is_right(text: str, sources: int) -> None:
    once, _ = checked(text, range(1, sources + 1))
    assert all(1 <= number <= sources for numbers in cited(once, sentences(once)) for number in numbers)
    assert without_citations(once).count("[1]") == 0


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("One. [1] Two. [2]", [(1,), (2,)]),
        ("One [1]. Two [2][1].", [(1,), (2, 1)]),
        ("One. Two. [2]", [(2,), (2,)]),
        ("One. [1] Two.", [(1,), ()]),
        ("One.\n\nTwo. [2]", [(), (2,)]),
        ("One.", [()]),
        ("", []),
    ],
)
def test_a_sentence_without_shares_those_of_the_next_in_its_paragraph(
    text: str, numbers: list[tuple[int, ...]]
) -> None:
    assert cited(text, sentences(text)) == numbers


@pytest.mark.parametrize("tail", ["[1" * 20_000 + "]" * 20_000, "[9" * 20_000 + "]" * 20_000, "[" * 40_000])
def test_nested_brackets_take_no_longer_than_others(tail: str) -> None:
    began = time.perf_counter()
    once, _ = checked(f"So it is. {tail}", {1, 2, 3})
    without_citations(once)
    assert time.perf_counter() - began < 2  # once it took minutes, pass by pass

"""Looking for citations takes time by the length of a text, whatever is in it."""

from __future__ import annotations

import time

import pytest

from rag_grpc.core.citations import checked, without_citations


@pytest.mark.parametrize("unit", [" ", "\n", "[", "[1", "[1 ", "[1,", " [1] ", "[ ", "1 , "])
def test_time_grows_with_the_length(unit: str) -> None:
    text = "a" + unit * (400_000 // len(unit)) + "*"
    begin = time.perf_counter()
    without_citations(text)
    checked(text, {1, 2, 3})
    assert time.perf_counter() - begin < 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  [1]", ""),
        ("a \n [1] [2][3] b", "a b"),
        ("a[1 , 2]. b [x]", "a. b [x]"),
        ("a \u3010 1 \u3011\u3002", "a\u3002"),
    ],
)
def test_white_space_before_a_citation_goes_with_it(text: str, expected: str) -> None:
    assert without_citations(text) == expected

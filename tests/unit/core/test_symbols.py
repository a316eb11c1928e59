"""Runs of symbols and of scripts without spaces: what one character after the other gives, for less."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core import analysis
from rag_grpc.core.analysis import LONGEST_WORD, Token, bare_words, folded, parts, runs, words
from rag_grpc.core.characters import ALONE, IGNORED, MARK, UNASSIGNED, character_classes

CLASSES = character_classes()
UNSPACED = (ALONE, UNASSIGNED)
TEXTS = st.text(
    st.sampled_from(
        "ab\u00e9 .\u3002\u65e5\u6708\u0e07\u0e48\u2192\u2500\U0001f680\U0001f3fd\u338f\u2116\u309b"
    )
    | st.sampled_from("\u0301\u0338\u3099\u200b\u200d\ufe0f")
    | st.characters(),
    max_size=30,
) | st.builds(
    str.__mul__,
    st.sampled_from(["\u65e5\u0301", "\u2192", "\u2192\ufe0f\u65e5", "\u0301"]),
    st.integers(50, 150),
)


def one_by_one(run: str) -> list[Token]:
    """Take a run without spaces apart in the simplest way."""
    found: list[Token] = []
    row: list[Token] = []
    start = 0
    for end in range(1, len(run) + 1):
        if end < len(run) and CLASSES[ord(run[end])] in (MARK, IGNORED):
            continue
        term = folded(run[start : min(end, start + LONGEST_WORD)]).replace(" ", "")
        if term and not term[0].isalnum():
            found += [*of_row(row), Token(term, start, end)]
            row = []
        elif term:
            row.append(Token(term, start, end))
        start = end
    return found + of_row(row)


def of_row(row: list[Token]) -> list[Token]:
    pairs = [Token(left.term + right.term, left.start, right.end) for left, right in pairwise(row)]
    return row if len(row) == 1 else pairs


@given(TEXTS)
def test_a_run_is_what_its_characters_are_one_by_one(text: str) -> None:
    for start, end in runs(text):
        if CLASSES[ord(text[start])] in UNSPACED:
            assert parts(text[start:end]) == one_by_one(text[start:end])


@given(TEXTS)
def test_a_short_text_has_the_runs_that_it_has_in_a_long_one(text: str) -> None:
    gap = "." * 101
    assert [(start + 101, end + 101) for start, end in runs(text)] == runs(gap + text)


@given(TEXTS)
def test_bare_words_are_the_terms_of_words(text: str) -> None:
    assert bare_words(text) == [each.term for each in words(text)]


@pytest.mark.parametrize("joined", ["", "\ufe0f", "\u0338"])
def test_symbols_that_come_again_are_worked_out_once(monkeypatch: pytest.MonkeyPatch, joined: str) -> None:
    folded_texts: list[str] = []

    def counted(word: str) -> str:
        folded_texts.append(word)
        return folded(word)

    analysis._character.cache_clear()
    monkeypatch.setattr(analysis, "folded", counted)
    text = "".join(each + joined for each in "\u2192\u2500\U0001f680") * 1000
    assert len(words(text)) == len(bare_words(text)) == 3000
    assert len(folded_texts) == 3

"""Taking texts apart into words, in every script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.embedders.words import MAX_MARKS, fold, split_words


def words_of(text: str) -> list[str]:
    words = split_words([text])
    letters = "".join(map(chr, words.letters.tolist()))
    return [
        letters[start : start + length]
        for start, length in zip(words.starts.tolist(), words.lengths.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Hello, World!", ["hello", "world"]),
        ("snake_case it's 3.14", ["snake", "case", "it", "s", "3", "14"]),
        ("日本語 text", ["日", "本", "語", "text"]),
        ("text日本", ["text", "日", "本"]),
        ("日本text", ["日", "本", "text"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("cafe\u0301", ["café"]),
        ("soft\u00adhyphen zero\u200dwidth", ["softhyphen", "zerowidth"]),
        ("5€ ❤\ufe0f👍🏽", ["5", "€", "❤", "👍", "🏽"]),
        ("a\u2028b\x85c\0d", ["a", "b", "c", "d"]),
        ("\u0301 x", ["\u0301", "x"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words_of(text) == expected


@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=40), max_size=6))
def test_texts_do_not_touch_each_other(texts: list[str]) -> None:
    together = split_words(texts)
    for index, text in enumerate(texts):
        alone = split_words([text])
        mine = together.owners == index
        assert together.hashes[mine].tolist() == alone.hashes.tolist()
        assert together.lengths[mine].tolist() == alone.lengths.tolist()
        assert together.alone[mine].tolist() == alone.alone.tolist()


def test_equal_words_have_equal_hashes_and_others_do_not() -> None:
    hashes = split_words(["to be or not to be", "eb ot"]).hashes.tolist()
    assert hashes[0] == hashes[4]
    assert hashes[1] == hashes[5]
    assert len(set(hashes)) == 6


def test_characters_newer_than_the_table_stay_apart_and_are_words() -> None:
    newer = "\U0001fae8\U0001fae9"  # of Unicode 15 and 16
    assert len(words_of(newer)) == 2
    assert len(set(words_of(newer))) == 2


def test_runs_of_marks_are_cut() -> None:
    assert len(fold("q" + "\u0316" * 100)) == 1 + MAX_MARKS

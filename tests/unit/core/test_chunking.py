"""The rules of chunking that hold for every splitter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.chunking import (
    DEFAULT_MAX_CHARACTERS,
    ChunkingInvalid,
    cut_stretch,
    effective,
    embedding_text,
    unbroken_stretches,
)
from rag_grpc.core.models import Chunking


def pieces(text: str, *, most: int, overlap: int = 0) -> list[str]:
    chunking = effective(Chunking(max_characters=most, overlap_characters=overlap))
    return [text[start:end] for start, end in cut_stretch(text, 0, len(text), chunking)]


def test_zero_means_the_default() -> None:
    assert effective(Chunking()) == Chunking(max_characters=DEFAULT_MAX_CHARACTERS)
    assert effective(Chunking(overlap_characters=499)).max_characters == 1000
    assert effective(Chunking(max_characters=7, overlap_characters=3, without_context=True)) == Chunking(
        max_characters=7, overlap_characters=3, without_context=True
    )


@pytest.mark.parametrize(
    ("most", "overlap"),
    [(0, 500), (10, 5), (10, 11), (1, 1), (10, -1), (-1, 0)],
    ids=str,
)
def test_settings_that_contradict_each_other(most: int, overlap: int) -> None:
    with pytest.raises(ChunkingInvalid):
        effective(Chunking(max_characters=most, overlap_characters=overlap))


@pytest.mark.parametrize(
    ("title", "headings", "without_context", "expected"),
    [
        ("", (), False, "chunk"),
        ("Title", (), False, "Title\nchunk"),
        ("Title", ("One", "Two"), False, "Title\nOne\nTwo\nchunk"),
        ("Title", ("Title", "Two"), False, "Title\nTwo\nchunk"),
        ("Title", ("One", "chunk"), False, "Title\nOne\nchunk"),
        ("Title", ("One",), True, "chunk"),
    ],
)
def test_what_is_embedded(
    title: str, headings: tuple[str, ...], without_context: bool, expected: str
) -> None:
    assert embedding_text(title, headings, "chunk", without_context) == expected


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n", "\x85", "\u2028", "\u2029"])
def test_a_line_break_ends_a_stretch(line_break: str) -> None:
    text = "a" * 9 + line_break + "b" * 12 + line_break
    assert unbroken_stretches(text, 11) == [(9 + len(line_break), len(text) - len(line_break) + 1)]


def test_a_full_stop_ends_a_stretch_where_space_follows() -> None:
    assert unbroken_stretches("aaaa. bbbb. cccc.", 6) == []
    assert unbroken_stretches("aaaa.bbbb.cccc.", 6) == [(0, 15)]
    assert unbroken_stretches("黑豹队的\u3002防守只丢\u3002", 5) == []
    assert unbroken_stretches("", 5) == []


def test_a_stretch_is_cut_at_white_space_then_at_a_comma() -> None:
    assert pieces("one two three four", most=9) == ["one two ", "three ", "four"]
    assert pieces("one,two,three,four", most=9) == ["one,two,", "three,", "four"]
    assert pieces("abcdefghij", most=4) == ["abcd", "efgh", "ij"]
    assert pieces("abcdefghij", most=5, overlap=2) == ["abcde", "defgh", "ghij"]


@pytest.mark.parametrize(
    "cluster",
    ["\r\n", "e\u0301", "हि", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd", "\U0001f469\u200d\U0001f467"],
)
def test_what_a_reader_sees_as_one_is_not_cut(cluster: str) -> None:
    for before in range(6):
        text = "x" * before + cluster * 40
        for piece in pieces(text, most=8):
            inner = piece.lstrip("x")
            assert inner.replace(cluster, "") == "", (before, piece)


@given(
    st.text(st.sampled_from("ab ,\u0301\u200d\U0001f1e9\r\n\u3000"), max_size=300),
    st.integers(1, 30),
    st.data(),
)
def test_pieces_cover_the_stretch(text: str, most: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, (most - 1) // 2))
    chunking = effective(Chunking(max_characters=most, overlap_characters=overlap))
    reached = 0
    previous = -1
    for start, end in cut_stretch(text, 0, len(text), chunking):
        assert previous < start <= reached < end
        assert end - start <= most
        assert reached - start <= overlap
        previous, reached = start, end
    assert reached == len(text)

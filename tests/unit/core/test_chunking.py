"""The rules of chunking that hold for every splitter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.chunking import (
    CONTEXT_SHARE,
    DEFAULT_MAX_CHARACTERS,
    ChunkingInvalid,
    Context,
    check_countable,
    effective,
    embedding_text,
)
from rag_grpc.core.errors import NotConfigured
from rag_grpc.core.model_ports import Tokenizer
from rag_grpc.core.models import Chunking
from tests.contracts.fakes import LetterEmbedder, WordTokenizer
from tests.contracts.splitter_contract import ByteTokenizer, PieceTokenizer


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


def embedder(*, reads: int = 0, tokenizer: Tokenizer | None = None) -> LetterEmbedder:
    return LetterEmbedder(max_tokens=reads, tokenizer=tokenizer or WordTokenizer())


def room(
    title: str, headings: tuple[str, ...], *, reads: int = 0, chunking: Chunking | None = None
) -> int | None:
    budget = Context(title, chunking or Chunking(), embedder(reads=reads)).budget()
    return budget.room(headings) if budget else None


def test_without_a_bound_there_is_no_budget() -> None:
    assert room("Title", ("Heading",)) is None
    assert Context("Title", Chunking(max_tokens=8), LetterEmbedder(max_tokens=0)).budget() is None


def test_the_text_gets_what_title_and_headings_leave() -> None:
    # Each line of the context takes its words, and one token for the line break behind it.
    assert room("", (), reads=100) == 100
    assert room("A title", (), reads=100) == 97
    assert room("A title", ("One", "Two words"), reads=100) == 92
    assert room("A title", ("A title", "Two words"), reads=100) == 94
    assert room("A title", ("One",), reads=100, chunking=Chunking(without_context=True)) == 100


def test_max_tokens_are_of_the_text_alone() -> None:
    assert room("A title", (), chunking=Chunking(max_tokens=50)) == 50
    assert room("A title", (), reads=100, chunking=Chunking(max_tokens=50)) == 50
    assert room("A title", (), reads=100, chunking=Chunking(max_tokens=98)) == 97
    assert room("A title", (), reads=100, chunking=Chunking(max_tokens=500)) == 97


def test_a_long_context_is_cut_to_its_share() -> None:
    title, headings = "t " * 100, ("o " * 100, "m " * 3, "i " * 4)
    context = Context(title, Chunking(), embedder(reads=100))
    # 25 of 100: half of them for the title, then from the innermost outwards. A line takes one more.
    lines = context.embedding_text(headings, "text").split("\n")
    assert [len(line.split()) for line in lines] == [11, 3, 3, 4, 1]
    assert [line[:1] for line in lines] == ["t", "o", "m", "i", "t"]
    assert room(title, headings, reads=100) == 75


def test_a_context_that_leaves_no_room_is_left_out() -> None:
    assert Context("title", Chunking(), embedder(reads=4)).embedding_text(("heading",), "text") == "text"
    assert room("title", ("heading",), reads=4) == 4


@given(
    st.text(max_size=60),
    st.lists(st.text(min_size=1, max_size=60), max_size=4).map(tuple),
    st.sampled_from([WordTokenizer(), PieceTokenizer(), ByteTokenizer()]),
    st.integers(8, 200),
)
def test_text_and_context_together_are_what_the_embedder_reads(
    title: str, headings: tuple[str, ...], tokenizer: Tokenizer, reads: int
) -> None:
    context = Context(title, Chunking(), embedder(reads=reads, tokenizer=tokenizer))
    budget = context.budget()
    assert budget is not None
    text = " x" * budget.room(headings)
    assert budget.room(headings) >= reads - reads // CONTEXT_SHARE
    assert len(tokenizer.token_offsets(context.embedding_text(headings, text))) <= reads


def test_tokens_that_cannot_be_counted_cannot_be_a_bound() -> None:
    check_countable(Chunking(), LetterEmbedder())
    check_countable(Chunking(max_tokens=8), embedder())
    with pytest.raises(NotConfigured, match=r"chunking\.max_tokens is 8.*'letters'"):
        check_countable(Chunking(max_tokens=8), LetterEmbedder())

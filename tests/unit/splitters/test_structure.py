"""What the splitter makes of real texts, odd ones and hostile ones."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_grpc.core.chunking import ChunkingInvalid
from rag_grpc.core.model_ports import TokenBudget
from rag_grpc.core.models import Chunking, TextSpan
from rag_grpc.splitters.structure import StructureSplitter
from tests.contracts.fakes import WordTokenizer
from tests.contracts.splitter_contract import PieceTokenizer

PLAIN, MARKDOWN = "text/plain", "text/markdown"


def split(text: str, media_type: str = PLAIN, *, most: int = 0, overlap: int = 0) -> list[TextSpan]:
    chunking = Chunking(max_characters=most, overlap_characters=overlap)
    return StructureSplitter().split(text, media_type, chunking)


def texts(text: str, spans: list[TextSpan]) -> list[str]:
    return [text[span.start : span.end] for span in spans]


def check_promises(text: str, spans: list[TextSpan], most: int, overlap: int) -> None:
    covered = bytearray(len(text))
    for span in spans:
        assert 0 <= span.start < span.end <= len(text)
        assert span.end - span.start <= most
        assert text[span.start : span.end].strip()
        covered[span.start : span.end] = b"\x01" * (span.end - span.start)
    for before, behind in pairwise(spans):
        assert before.start < behind.start
        assert before.end < behind.end
        assert before.end - behind.start <= overlap
    missed = [place for place, mark in enumerate(covered) if not mark and not text[place].isspace()]
    assert missed == []


word = st.text(
    st.sampled_from(
        "abcXYZ.,!?-#`>*'0129äßéñя黑豹队。\uff0cไทย\u0e31हि\u093fعرب\u064b\u0301\u200d\U0001f469\U0001f1e9"
    ),
    min_size=1,
    max_size=12,
)
gap = st.sampled_from(
    [" ", " ", " ", "  ", "\n", "\n\n", "\r\n", "\r", "\t", "\x85", "\u2028", "\0", "\x1c", "\u3000", ""]
)
prose = st.lists(st.one_of(word, gap), max_size=200).map("".join)
markdown_line = st.one_of(
    prose,
    st.sampled_from(
        [
            "# A",
            "## B",
            "### C",
            "---",
            "===",
            "```",
            "~~~",
            "- x",
            "  - y",
            "> q",
            "|a|b|",
            "|-|-|",
            "<div>",
            "[a]: b",
        ]
    ),
)
markdown_text = st.lists(markdown_line, max_size=20).map("\n".join)
any_text = st.text(st.characters(exclude_categories=()), max_size=400)
long_run = st.builds(str.__mul__, word, st.integers(1, 400))


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(prose, markdown_text, any_text, st.tuples(prose, long_run, prose).map("".join)),
    st.sampled_from([PLAIN, MARKDOWN]),
    st.integers(1, 120),
    st.data(),
)
def test_promises_hold_for_every_text(text: str, media_type: str, most: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, (most - 1) // 2))
    spans = split(text, media_type, most=most, overlap=overlap)
    check_promises(text, spans, most, overlap)
    assert bool(spans) == bool(text.strip())


@settings(deadline=None, max_examples=30)
@given(st.tuples(prose, long_run, prose).map("".join), st.sampled_from([PLAIN, MARKDOWN]), st.integers(0, 40))
def test_promises_hold_across_windows(text: str, media_type: str, overlap: int) -> None:
    text *= 1 + 10_000 // (1 + len(text))
    check_promises(text, split(text, media_type, most=100, overlap=overlap), 100, overlap)


def test_a_text_that_fits_is_one_span_without_the_white_space_around_it() -> None:
    assert split(" \n hello world \n") == [TextSpan(3, 14)]
    assert split("x" * 1000) == [TextSpan(0, 1000)]


@pytest.mark.parametrize("text", ["", " ", "\n\r\n\t\u3000\u2028\x85\x1c" * 500])
def test_white_space_alone_is_no_span(text: str) -> None:
    assert split(text) == []
    assert split(text, MARKDOWN) == []


def test_prose_is_cut_between_paragraphs_and_sentences() -> None:
    text = "One two three. Four five six.\n\nSeven eight nine. Ten eleven twelve.\n\nShort."
    assert texts(text, split(text, most=40)) == [
        "One two three. Four five six.",
        "Seven eight nine. Ten eleven twelve.",
        "Short.",
    ]


def test_overlap_repeats_whole_sentences() -> None:
    text = " ".join(f"Sentence {number}." for number in range(100))
    spans = split(text, most=60, overlap=25)
    overlaps = [text[two.start : one.end] for one, two in pairwise(spans)]
    assert all(overlap.startswith("Sentence ") and overlap.endswith(".") for overlap in overlaps)


def test_characters_beyond_the_basic_plane_count_as_one() -> None:
    text = "\U0001f600 " * 30 + "end"
    for span in split(text, most=10):
        assert span.end - span.start <= 10
    assert text[split(text, most=10)[-1].end - 3 :] == "end"


def test_lone_surrogates_keep_their_places() -> None:
    text = "before \ud800 behind. " * 20
    spans = split(text, most=50)
    check_promises(text, spans, 50, 0)
    assert spans == split(text.replace("\ud800", "\ufffd"), most=50)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ChunkingInvalid):
        split("text", most=10, overlap=5)


def test_markdown_chunks_know_their_headings() -> None:
    text = (
        "# Guide\n\n## Install\n\n"
        + "Run the installer. " * 10
        + "\n\n## Use\n\n"
        + "Call the function. " * 10
    )
    spans = split(text, MARKDOWN, most=120)
    assert [span.headings for span in spans] == [("Guide", "Install")] * 2 + [("Guide", "Use")] * 2
    assert texts(text, spans)[0].startswith("# Guide\n\n## Install\n\nRun")
    assert texts(text, spans)[2].startswith("## Use\n\nCall")


def test_a_heading_is_never_a_chunk_without_what_follows() -> None:
    text = (
        "# Guide\n\n## Install\n\n"
        + "Word after word, and no end of it in sight " * 5
        + ".\n\n"
        + "More. " * 30
    )
    first = texts(text, split(text, MARKDOWN, most=120, overlap=20))[0]
    assert first.startswith("# Guide\n\n## Install\n\nWord after word")
    assert 60 < len(first) <= 120


def test_plain_text_has_no_headings() -> None:
    assert [span.headings for span in split("# A\n\ntext\n\n# B\n\ntext")] == [()]


def test_small_sections_are_joined_and_know_what_they_share() -> None:
    text = "# List\n\n## One\n\na\n\n## Two\n\nb\n\n## Three\n\n" + "c " * 300
    assert [span.headings for span in split(text, MARKDOWN)] == [("List",)]
    long = text.replace("c ", "long ")
    assert [span.headings for span in split(long, MARKDOWN)][:2] == [("List",), ("List", "Three")]


def test_a_document_of_headings_alone_has_few_chunks() -> None:
    assert len(split("# heading\n" * 10_000, MARKDOWN)) < 200


def test_a_comment_in_a_fence_is_no_heading() -> None:
    text = "# A\n\n```python\n# not a heading\nx = 1\n```\n\ntext\n"
    assert split(text, MARKDOWN) == [TextSpan(0, len(text) - 1, ("A",))]


def test_a_fence_that_fits_is_never_cut() -> None:
    code = "".join(f"line_{number} = {number}\n" + "\n" * (number % 3 == 0) for number in range(20))
    fence = f"```python\n{code}```"
    for before in range(0, 700, 23):
        text = f"# A\n\n{'Word after word. ' * (before // 17)}\n\n{fence}\n\n" + "More words follow. " * 60
        for overlap in (0, 100):
            spans = split(text, MARKDOWN, most=len(fence) + 20, overlap=overlap)
            assert any(fence in each for each in texts(text, spans)), (before, overlap)


def test_a_table_that_fits_is_never_cut() -> None:
    table = "| name | value |\n|------|-------|\n" + "".join(f"| n{row} | {row} |\n" for row in range(20))
    for before in range(0, 500, 37):
        text = f"# A\n\n{'Word after word. ' * (before // 17)}\n\n{table}\n" + "More words follow. " * 60
        assert any(table.strip() in each for each in texts(text, split(text, MARKDOWN, most=400)))


def test_a_fence_that_does_not_fit_is_cut_between_lines() -> None:
    code = "".join(f"call(number={number})  # Do it. And more\n" for number in range(60))
    text = f"# A\n\n```python\n{code}```\n"
    found = texts(text, split(text, MARKDOWN, most=400))
    assert len(found) > 4
    assert all(piece.startswith("call(") for piece in found[1:-1])
    assert all(piece.endswith("And more") for piece in found[:-1])


def test_a_fence_of_plain_text_is_text() -> None:
    text = "```\n" + "Some words. " * 20 + "\n\n" + "Other words. " * 20 + "\n```"
    assert len(split(text, PLAIN, most=400)) == 2
    assert texts(text, split(text, PLAIN, most=400))[1].startswith("Other")


def test_a_long_rest_makes_two_pieces_of_like_length() -> None:
    text = "Word after word is here. " * 44
    first, second = texts(text, split(text, most=1000))
    assert abs(len(first) - len(second)) < 250


def test_tokens_and_characters_bound_together() -> None:
    text = "Short words a b c d e f g h i j k. " * 20 + "\n\n" + "Extraordinarily-long-words " * 40
    spans = StructureSplitter().split(
        text, PLAIN, Chunking(max_characters=200), TokenBudget(WordTokenizer(), lambda _: 20)
    )
    check_promises(text, spans, 200, 0)
    sizes = [(span.end - span.start, len(text[span.start : span.end].split())) for span in spans]
    assert max(words for _, words in sizes) in {19, 20}
    assert max(size for size, _ in sizes) > 180


def test_headings_take_tokens_from_the_text_below_them() -> None:
    text = "# A\n\n" + "word " * 40 + "\n\n## B\n\n" + "word " * 40
    budget = TokenBudget(WordTokenizer(), lambda headings: 60 - 20 * len(headings))
    spans = StructureSplitter().split(text, MARKDOWN, Chunking(), budget)
    counts = {span.headings: len(text[span.start : span.end].split()) for span in spans}
    assert counts[("A",)] <= 40
    assert counts[("A", "B")] <= 20


def test_a_word_of_many_tokens_is_cut_to_what_is_counted_alone() -> None:
    # As one word it is one unknown token, and its end alone is many.
    text = "word " * 5 + "x" * 130 + " word" * 5
    budget = TokenBudget(PieceTokenizer(), lambda _: 12)
    spans = StructureSplitter().split(text, PLAIN, Chunking(max_characters=60), budget)
    check_promises(text, spans, 60, 0)
    assert all(len(PieceTokenizer().token_offsets(piece)) <= 12 for piece in texts(text, spans))


def test_the_version_tells_one_way_of_splitting_from_another() -> None:
    assert re.fullmatch(r"structure-\d+", StructureSplitter.version)


HOSTILE: dict[str, Callable[[int], str]] = {
    "no spaces": lambda size: "a" * size,
    "spaces and a word": lambda size: " " * size + "x",
    "line ends": lambda size: "\n" * size,
    "Chinese without stops": lambda size: "黑豹队的防守只丢了分" * (size // 10),
    "Thai": lambda size: "ภาษาไทยไม่มีช่องว่าง" * (size // 20),
    "combining marks": lambda size: "a" + "\u0301" * size,
    "joiners": lambda size: "\U0001f469\u200d" * (size // 2),
    "one paragraph": lambda size: "word " * (size // 5),
    "one quote": lambda size: "> " * (size // 2),
    "nested lists": lambda size: "\n".join("  " * depth + "- a" for depth in range(int(size**0.5))),
    "headings": lambda size: "# h\n" * (size // 4),
    "underlines": lambda size: "a\n---\n" * (size // 6),
    "fences": lambda size: "```\n# x\n" * (size // 8),
    "unclosed fence": lambda size: "```\n" + "# x\n" * (size // 4),
    "comments": lambda size: "<!--\n" * (size // 5),
    "brackets": lambda size: "[a](" * (size // 4),
    "stars": lambda size: "*a **b " * (size // 7),
}


@pytest.mark.parametrize("media_type", [PLAIN, MARKDOWN])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_take_linear_time(name: str, media_type: str) -> None:
    # The bound is a hundred times what they take here.
    text = HOSTILE[name](400_000)
    began = time.process_time()
    spans = split(text, media_type)
    assert time.process_time() - began < 8
    check_promises(text, spans, 1000, 0)

"""What every Splitter must do: each "must" of `ports.Splitter` has a test here."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag_grpc.core.model_ports import Splitter, TokenBudget, Tokenizer
from rag_grpc.core.models import Chunking, TextSpan
from tests.contracts.fakes import WordTokenizer

MEDIA_TYPES = ["text/plain", "text/markdown"]

pieces = st.sampled_from(
    [
        "word ",
        "a longer sentence with several words. ",
        "\n",
        "\n\n",
        "# Heading\n",
        "## Deeper\n\n",
        "- item\n",
        "```\ncode\n```\n",
        "\u4e16\u754c",
        "e\u0301",
        "\U0001f469\u200d\U0001f469\u200d\U0001f467",
        "x" * 50,
        " " * 30,
        "\t",
        "\r\n",
        "\u00a0",
    ]
)
texts = st.lists(pieces, max_size=40).map("".join) | st.text(max_size=300)
chunkings = st.builds(
    Chunking,
    max_characters=st.sampled_from([0, 10, 37, 200]),
    overlap_characters=st.sampled_from([0, 4]),
    without_context=st.booleans(),
)


class PieceTokenizer:
    """As models with a vocabulary do it: pieces of words, and one for a word that is too long to know.

    So half of a long word has more tokens than the whole.
    """

    def token_offsets(self, text: str) -> NDArray[np.int64]:
        found: list[tuple[int, int]] = []
        for word in re.finditer(r"\w+|[^\w\s]", text):
            start, end = word.span()
            step = 3 if end - start <= 12 else end - start
            found += [(place, min(place + step, end)) for place in range(start, end, step)]
        return np.array(found, np.int64).reshape(-1, 2)


class ByteTokenizer:
    """As models without a vocabulary do it: a token a byte, so that several stand at one character."""

    def token_offsets(self, text: str) -> NDArray[np.int64]:
        sizes = [0 if each.isspace() else len(each.encode("utf-8", "surrogatepass")) for each in text]
        places = np.repeat(np.arange(len(text)), sizes).astype(np.int64)
        return np.stack((places, places + 1), axis=1)


TOKENIZERS: list[Callable[[], Tokenizer]] = [WordTokenizer, PieceTokenizer, ByteTokenizer]


def budget_of(tokenizer: Tokenizer, tokens: int) -> TokenBudget:
    """A budget that headings take a token each from."""
    return TokenBudget(tokenizer, lambda headings: max(1, tokens - len(headings)))


budgets = st.none() | st.builds(
    lambda make, tokens: budget_of(make(), tokens),
    st.sampled_from(TOKENIZERS),
    st.sampled_from([1, 2, 8, 40]),
)


class SplitterContract:
    """What every Splitter must do. Subclasses supply `make_splitter`."""

    def make_splitter(self) -> Splitter:
        raise NotImplementedError

    @pytest.fixture
    def splitter(self) -> Splitter:
        return self.make_splitter()

    def test_it_says_what_it_is(self, splitter: Splitter) -> None:
        assert splitter.version

    @given(text=texts, media_type=st.sampled_from(MEDIA_TYPES), chunking=chunkings, budget=budgets)
    @settings(
        max_examples=150,
        deadline=None,
        # Several adapters inherit this one test.
        suppress_health_check=[HealthCheck.differing_executors],
    )
    def test_any_text_is_covered_by_spans_in_order(
        self, text: str, media_type: str, chunking: Chunking, budget: TokenBudget | None
    ) -> None:
        splitter = self.make_splitter()
        spans = splitter.split(text, media_type, chunking, budget)
        check_spans(text, spans, chunking, budget)
        assert splitter.split(text, media_type, chunking, budget) == spans

    @pytest.mark.parametrize("media_type", MEDIA_TYPES)
    @pytest.mark.parametrize("text", ["", " ", "\n\t\r\n \u00a0\u3000"])
    def test_white_space_alone_has_no_spans(self, splitter: Splitter, text: str, media_type: str) -> None:
        assert splitter.split(text, media_type, Chunking()) == []

    @pytest.mark.parametrize("media_type", MEDIA_TYPES)
    def test_a_short_text_is_one_span(self, splitter: Splitter, media_type: str) -> None:
        (span,) = splitter.split("hello", media_type, Chunking())
        assert (span.start, span.end) == (0, 5)

    def test_a_text_without_a_break_is_cut_all_the_same(self, splitter: Splitter) -> None:
        text = "x" * 5000
        spans = splitter.split(text, "text/plain", Chunking(max_characters=100))
        check_spans(text, spans, Chunking(max_characters=100))
        assert len(spans) >= 50

    @pytest.mark.parametrize("make", TOKENIZERS)
    def test_tokens_bound_a_span_as_characters_do(
        self, splitter: Splitter, make: Callable[[], Tokenizer]
    ) -> None:
        text = "Ten words that stand here and say nothing at all. " * 40
        budget = budget_of(make(), 25)
        spans = splitter.split(text, "text/plain", Chunking(), budget)
        check_spans(text, spans, Chunking(), budget)
        most = max(len(budget.tokenizer.token_offsets(text[span.start : span.end])) for span in spans)
        assert most > 12
        assert len(spans) > len(splitter.split(text, "text/plain", Chunking()))

    def test_characters_bound_a_span_within_its_tokens(self, splitter: Splitter) -> None:
        text = "Ten words that stand here and say nothing at all. " * 40
        budget = budget_of(WordTokenizer(), 1000)
        chunking = Chunking(max_characters=100)
        assert splitter.split(text, "text/plain", chunking, budget) == splitter.split(
            text, "text/plain", chunking
        )

    def test_several_threads_may_call_it_at_once(self, splitter: Splitter) -> None:
        text = "One sentence. Another one, a little longer.\n\n" * 50
        expected = splitter.split(text, "text/markdown", Chunking(max_characters=80))
        with ThreadPoolExecutor(4) as pool:
            for spans in pool.map(
                lambda _: splitter.split(text, "text/markdown", Chunking(max_characters=80)), range(8)
            ):
                assert spans == expected


def check_spans(
    text: str, spans: list[TextSpan], chunking: Chunking, budget: TokenBudget | None = None
) -> None:
    covered = set[int]()
    for span in spans:
        assert 0 <= span.start < span.end <= len(text)
        assert text[span.start : span.end].strip(), "a span of white space alone"
        if chunking.max_characters:
            assert span.end - span.start <= chunking.max_characters
        assert all(heading.strip() for heading in span.headings)
        if budget and span.end - span.start > 1:
            tokens = budget.tokenizer.token_offsets(text[span.start : span.end])
            assert len(tokens) <= budget.room(span.headings)
        covered.update(range(span.start, span.end))
    for one, two in pairwise(spans):
        assert one.start < two.start
        assert one.end < two.end
        assert one.end - two.start <= chunking.overlap_characters
    assert bool(spans) == bool(text.strip())
    lost = [place for place, letter in enumerate(text) if not letter.isspace() and place not in covered]
    assert not lost, f"characters that no span holds: {lost[:5]}"

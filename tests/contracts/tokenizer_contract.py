"""What every Tokenizer must do: each promise of `ports.Tokenizer` has a test here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rag_grpc.core.model_ports import Tokenizer
from tests.contracts.embedder_contract import TEXTS

LONG = "The harbour of H\u00e5, \u6e2f\u53e3, is full of ships \U0001f6a2\U0001f6a2. " * 4000


class TokenizerContract:
    """What every Tokenizer must do. Subclasses supply `make_tokenizer`."""

    def make_tokenizer(self) -> Tokenizer:
        raise NotImplementedError

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        return self.make_tokenizer()

    @pytest.mark.parametrize("text", [*TEXTS, LONG], ids=lambda text: ascii(text)[:20])
    def test_tokens_stand_in_order_in_the_text(self, tokenizer: Tokenizer, text: str) -> None:
        offsets = tokenizer.token_offsets(text)
        assert offsets.dtype == np.int64
        assert offsets.shape == (len(offsets), 2)
        assert (offsets[:, 0] <= offsets[:, 1]).all()
        assert (np.diff(offsets, axis=0) >= 0).all()
        if len(offsets):
            assert offsets[0, 0] >= 0
            assert offsets[-1, 1] <= len(text)

    def test_words_are_where_they_stand(self, tokenizer: Tokenizer) -> None:
        text = "\u6e2f \U0001f6a2 harbour  ships"
        offsets = tokenizer.token_offsets(text)
        starts = set(offsets[:, 0].tolist())
        ends = set(offsets[:, 1].tolist())
        assert {text.index("harbour"), text.index("ships")} <= starts
        assert {text.index("harbour") + 7, len(text)} <= ends

    def test_nothing_has_no_tokens(self, tokenizer: Tokenizer) -> None:
        assert tokenizer.token_offsets("").shape == (0, 2)
        assert tokenizer.token_offsets(" \n\t ").shape == (0, 2)

    def test_a_long_text_has_the_tokens_of_its_parts(self, tokenizer: Tokenizer) -> None:
        part = LONG[: len(LONG) // 4000]
        one = tokenizer.token_offsets(part)
        all_of_them = tokenizer.token_offsets(LONG)
        assert len(all_of_them) == 4000 * len(one)
        np.testing.assert_array_equal(all_of_them[-len(one) :], one + 3999 * len(part))

    def test_several_threads_may_call_it_at_once(self, tokenizer: Tokenizer) -> None:
        expected = tokenizer.token_offsets(LONG)
        with ThreadPoolExecutor(4) as pool:
            for offsets in pool.map(lambda _: tokenizer.token_offsets(LONG), range(8)):
                np.testing.assert_array_equal(offsets, expected)

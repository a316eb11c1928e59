"""What every Reranker must do: each "must" of `ports.Reranker` has a test here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest

from rag_grpc.core.model_ports import Reranker
from tests.contracts.embedder_contract import TEXTS

QUERY = "Hello harbour"


class RerankerContract:
    """What every Reranker must do. Subclasses supply `make_reranker`."""

    rtol: ClassVar[float] = 0.0
    """How far a text's score among others may be from the one it has alone: 0, the same bits, or 1e-5."""

    def make_reranker(self) -> Reranker:
        raise NotImplementedError

    @pytest.fixture
    def reranker(self) -> Reranker:
        return self.make_reranker()

    def test_one_finite_score_a_text(self, reranker: Reranker) -> None:
        assert reranker.name
        scores = reranker.score(QUERY, TEXTS)
        assert scores.shape == (len(TEXTS),)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert reranker.score(QUERY, []).shape == (0,)

    @pytest.mark.parametrize("query", ["", " ", "\0", "word " * 2000], ids=["empty", "space", "nul", "long"])
    def test_any_query_is_taken(self, reranker: Reranker, query: str) -> None:
        assert np.isfinite(reranker.score(query, TEXTS)).all()

    def test_what_answers_scores_higher(self, reranker: Reranker) -> None:
        good, bad = reranker.score("hello harbour", ["hello harbour", "nine quick jackdaws"])
        assert good > bad

    def test_a_score_does_not_depend_on_the_other_texts(self, reranker: Reranker) -> None:
        together = reranker.score(QUERY, TEXTS)
        np.testing.assert_array_equal(reranker.score(QUERY, TEXTS), together)
        alone = np.concatenate([reranker.score(QUERY, [text]) for text in TEXTS])
        backwards = reranker.score(QUERY, TEXTS[::-1])[::-1]
        np.testing.assert_allclose(alone, together, rtol=self.rtol, atol=self.rtol)
        np.testing.assert_allclose(backwards, together, rtol=self.rtol, atol=self.rtol)

    def test_several_threads_may_call_it_at_once(self, reranker: Reranker) -> None:
        expected = reranker.score(QUERY, TEXTS)
        with ThreadPoolExecutor(4) as pool:
            for scores in pool.map(lambda _: reranker.score(QUERY, TEXTS), range(12)):
                np.testing.assert_allclose(scores, expected, rtol=self.rtol, atol=self.rtol)

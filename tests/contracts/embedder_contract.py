"""What every Embedder must do: each "must" of `ports.Embedder` has a test here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest

from rag_grpc.core.model_ports import Embedder

TEXTS = [
    "hello",
    "",
    " \n\t",
    "Hello, World!",
    "\u4e16\u754c",
    "cafe\u0301",
    "\U0001f600" * 10,
    "\0",
    "word " * 2000,
    "hello",
]


class EmbedderContract:
    """What every Embedder must do. Subclasses supply `make_embedder`."""

    rtol: ClassVar[float] = 0.0
    """How far a text's vector in a batch may be from the one it has alone: 0, the same bits, or 1e-5."""

    def make_embedder(self) -> Embedder:
        raise NotImplementedError

    @pytest.fixture
    def embedder(self) -> Embedder:
        return self.make_embedder()

    def test_it_says_what_it_is(self, embedder: Embedder) -> None:
        assert embedder.name
        assert embedder.fingerprint
        assert 1 <= embedder.dimension <= 4096
        assert embedder.max_batch >= 1
        assert 0 <= embedder.dense_weight <= 1
        assert embedder.max_tokens >= 0

    def test_what_it_does_not_read_is_not_in_the_vector(self, embedder: Embedder) -> None:
        if not embedder.max_tokens:
            return
        assert embedder.tokenizer is not None
        text = "one two three " * embedder.max_tokens
        offsets = embedder.tokenizer.token_offsets(text)
        assert len(offsets) > embedder.max_tokens
        read = text[: offsets[embedder.max_tokens - 1, 1]]
        less = text[: offsets[embedder.max_tokens - 2, 1]]
        whole, cut, shorter = embedder.embed([text, read, less])
        np.testing.assert_allclose(cut, whole, rtol=self.rtol, atol=self.rtol)
        assert not np.allclose(shorter, whole, rtol=self.rtol, atol=self.rtol)

    def test_queries_are_embedded_likewise(self, embedder: Embedder) -> None:
        vectors = embedder.embed_queries(TEXTS)
        assert vectors.shape == (len(TEXTS), embedder.dimension)
        assert vectors.dtype == np.float32
        assert vectors.flags.c_contiguous
        assert np.isfinite(vectors).all()
        assert vectors.any(axis=1).all()
        alone = np.concatenate([embedder.embed_queries([text]) for text in TEXTS])
        np.testing.assert_allclose(alone, vectors, rtol=self.rtol, atol=self.rtol)
        assert embedder.embed_queries([]).shape == (0, embedder.dimension)

    def test_one_row_a_text(self, embedder: Embedder) -> None:
        vectors = embedder.embed(TEXTS)
        assert vectors.shape == (len(TEXTS), embedder.dimension)
        assert vectors.dtype == np.float32
        assert vectors.flags.c_contiguous
        assert embedder.embed([]).shape == (0, embedder.dimension)

    def test_rows_are_finite_and_never_zero(self, embedder: Embedder) -> None:
        vectors = embedder.embed(TEXTS)
        assert np.isfinite(vectors).all()
        assert vectors.any(axis=1).all()

    def test_a_text_has_one_vector_alone_in_a_batch_and_again(self, embedder: Embedder) -> None:
        together = embedder.embed(TEXTS)
        np.testing.assert_array_equal(embedder.embed(TEXTS), together)
        alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
        backwards = embedder.embed(TEXTS[::-1])[::-1]
        np.testing.assert_allclose(alone, together, rtol=self.rtol, atol=self.rtol)
        np.testing.assert_allclose(backwards, together, rtol=self.rtol, atol=self.rtol)

    def test_another_one_of_the_same_fingerprint_makes_the_same_vectors(self, embedder: Embedder) -> None:
        again = self.make_embedder()
        assert (again.fingerprint, again.dimension) == (embedder.fingerprint, embedder.dimension)
        np.testing.assert_allclose(again.embed(TEXTS), embedder.embed(TEXTS), rtol=self.rtol, atol=self.rtol)

    def test_different_texts_have_different_vectors(self, embedder: Embedder) -> None:
        one, other = embedder.embed(["a harbour full of ships", "nine quick jackdaws"])
        assert not np.array_equal(one, other)

    def test_several_threads_may_call_it_at_once(self, embedder: Embedder) -> None:
        expected = embedder.embed(TEXTS)
        with ThreadPoolExecutor(4) as pool:
            for vectors in pool.map(lambda _: embedder.embed(TEXTS), range(12)):
                np.testing.assert_allclose(vectors, expected, rtol=self.rtol, atol=self.rtol)

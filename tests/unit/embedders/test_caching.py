"""The cache of query embeddings: what it keeps, what it lets go, and that it changes no answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_grpc.core.errors import ModelUnavailable
from rag_grpc.embedders.caching import CachingEmbedder
from tests.contracts.embedder_contract import EmbedderContract
from tests.contracts.fakes import LetterEmbedder

# What an entry of a short text takes, with LetterEmbedder's eight numbers.
ENTRY = 250 + 4 + 32


class TestCachingEmbedder(EmbedderContract):
    def make_embedder(self) -> CachingEmbedder:
        return CachingEmbedder(LetterEmbedder(), max_bytes=2000)


def test_what_was_asked_is_not_asked_again() -> None:
    inner, counted = LetterEmbedder(), list[bool]()
    cache = CachingEmbedder(inner, max_bytes=100_000, counted=counted.append)
    first = cache.embed_queries(["a", "b", "a"])
    again = cache.embed_queries(["b", "c", "a"])
    assert inner.batches == [("a", "b"), ("c",)]
    assert counted == [False, False, False, True, False, True]
    np.testing.assert_array_equal(again, LetterEmbedder().embed(["b", "c", "a"]))
    np.testing.assert_array_equal(first[0], first[2])


def test_documents_are_not_kept() -> None:
    inner = LetterEmbedder()
    cache = CachingEmbedder(inner, max_bytes=100_000)
    cache.embed(["a"])
    cache.embed(["a"])
    cache.embed_queries(["a"])
    assert inner.batches == [("a",)] * 3
    assert cache.bytes_in_use == ENTRY


def test_the_longest_unasked_goes_first() -> None:
    inner = LetterEmbedder()
    cache = CachingEmbedder(inner, max_bytes=9 * ENTRY)
    for text in "abcdefghi":
        cache.embed_queries([text])
    cache.embed_queries(["a"])
    cache.embed_queries(["j"])
    inner.batches.clear()
    cache.embed_queries(["a", "j"])
    assert inner.batches == []
    cache.embed_queries(["b"])
    assert inner.batches == [("b",)]
    assert cache.bytes_in_use == 9 * ENTRY


def test_a_long_query_pushes_nothing_out() -> None:
    cache = CachingEmbedder(LetterEmbedder(), max_bytes=9 * ENTRY)
    cache.embed_queries(["a"])
    cache.embed_queries(["x" * ENTRY])
    assert cache.bytes_in_use == ENTRY


def test_a_caller_cannot_change_what_is_kept() -> None:
    cache = CachingEmbedder(LetterEmbedder(), max_bytes=100_000)
    cache.embed_queries(["a"])[:] = 7
    cache.embed_queries(["a"])[:] = 7
    np.testing.assert_array_equal(cache.embed_queries(["a"]), LetterEmbedder().embed(["a"]))


def test_a_failure_is_not_kept() -> None:
    @dataclass
    class Touchy(LetterEmbedder):
        down: bool = True

        def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
            if self.down:
                raise ModelUnavailable("down")
            return super().embed_queries(texts)

    inner = Touchy()
    cache = CachingEmbedder(inner, max_bytes=100_000)
    with pytest.raises(ModelUnavailable):
        cache.embed_queries(["a"])
    inner.down = False
    np.testing.assert_array_equal(cache.embed_queries(["a"]), LetterEmbedder().embed(["a"]))


def test_a_vector_that_is_not_finite_is_not_kept() -> None:
    @dataclass
    class Broken(LetterEmbedder):
        def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.full((len(texts), 8), np.nan, np.float32)

    cache = CachingEmbedder(Broken(), max_bytes=100_000)
    assert np.isnan(cache.embed_queries(["a"])).all()
    assert cache.bytes_in_use == 0


def test_threads_that_ask_at_once_get_what_they_asked_for() -> None:
    cache = CachingEmbedder(LetterEmbedder(), max_bytes=20 * ENTRY)
    start = threading.Barrier(4)

    def ask(seed: int) -> None:
        numbers = np.random.default_rng(seed)
        start.wait(10)
        for _ in range(300):
            texts = ["a" * int(each) for each in numbers.integers(1, 40, size=3)]
            np.testing.assert_array_equal(cache.embed_queries(texts), LetterEmbedder().embed(texts))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert 0 < cache.bytes_in_use <= 20 * ENTRY
    assert cache.bytes_in_use == sum(250 + 4 * len(text) + 32 for text in cache._vectors)

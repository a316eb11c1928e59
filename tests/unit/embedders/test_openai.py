"""Endpoints of OpenAI's protocol that do well, and that do anything else."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from rag_grpc.core.errors import ModelUnavailable
from rag_grpc.embedders.openai import OpenAIEmbedder, OpenAIOptions
from tests.contracts.embeddings_server import (
    DIMENSION,
    EmbeddingsServer,
    break_off,
    changed,
    embeddings,
    embeddings_server,
    stall,
    status,
    text,
    trickle,
    vectors,
)

Make = Callable[..., OpenAIEmbedder]


@pytest.fixture
def server() -> Iterator[EmbeddingsServer]:
    with embeddings_server() as running:
        yield running


@pytest.fixture
def make(server: EmbeddingsServer) -> Iterator[Make]:
    made: list[OpenAIEmbedder] = []

    def make(**options: Any) -> OpenAIEmbedder:
        whole = {"base_url": server.url, "dimension": DIMENSION, "retries": 0, **options}
        made.append(OpenAIEmbedder("far", "letters", OpenAIOptions(**whole)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def failure(embedder: OpenAIEmbedder) -> ModelUnavailable:
    with pytest.raises(ModelUnavailable) as caught:
        embedder.embed(["a text that is nobody's business"])
    assert "business" not in caught.value.message
    assert "hunter2" not in caught.value.message
    assert caught.value.message.startswith("the endpoint of embedder 'far' ")
    return caught.value


def test_texts_go_in_batches_and_their_vectors_come_back_in_order(
    server: EmbeddingsServer, make: Make
) -> None:
    texts = ["b", "aa", "c" * 9, "", "dd"]
    np.testing.assert_array_equal(make(max_batch=2).embed(texts), vectors(["b", "aa", "c" * 9, ".", "dd"]))
    assert server.asked == [["b", "aa"], ["c" * 9, "."], ["dd"]]
    assert server.requests[0]["model"] == "letters"
    assert "dimensions" not in server.requests[0]


def test_answers_are_put_in_the_order_of_their_numbers(server: EmbeddingsServer, make: Make) -> None:
    server.orders.append(changed(lambda data: data[::-1]))
    np.testing.assert_array_equal(make().embed(["a", "bb", "ccc"]), vectors(["a", "bb", "ccc"]))


def test_prefixes_and_the_bound_of_a_text_are_kept(server: EmbeddingsServer, make: Make) -> None:
    embedder = make(query_prefix="q: ", passage_prefix="p: ", max_characters=6)
    embedder.embed_queries(["abcdef"])
    embedder.embed(["abcdef"])
    assert server.asked == [["q: abc"], ["p: abc"]]


def test_shorter_vectors_are_asked_for(server: EmbeddingsServer, make: Make) -> None:
    assert make(dimension=3, shorten=True).embed(["abc"]).shape == (1, 3)
    assert server.requests[0]["dimensions"] == 3


def test_the_key_is_sent_and_none_where_there_is_none(server: EmbeddingsServer, make: Make) -> None:
    make(api_key="sk-hunter2").embed(["a"])
    make().embed(["a"])
    assert server.headers[0]["authorization"] == "Bearer sk-hunter2"
    assert "authorization" not in server.headers[1]


def test_the_key_is_in_no_log(server: EmbeddingsServer, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    server.orders.append(status(401))
    with caplog.at_level(logging.DEBUG):
        failure(make(api_key="sk-our-own"))
    assert server.headers[0]["authorization"] == "Bearer sk-our-own"
    assert "sk-our-own" not in caplog.text
    assert caplog.records


@pytest.mark.parametrize(
    ("order", "what"),
    [
        (changed(lambda data: data[:-1]), "0 embeddings for 1 texts"),
        (changed(lambda data: data * 2), "2 embeddings for 1 texts"),
        (changed(lambda data: [data[0] | {"index": 7}]), "not numbered"),
        (changed(lambda data: [data[0] | {"index": "0"}]), "not numbered"),
        (changed(lambda data: [data[0] | {"index": True}]), "not numbered"),
        (changed(lambda data: [data[0] | {"embedding": data[0]["embedding"][1:]}]), r"shape \(7,\)"),
        (changed(lambda data: [data[0] | {"embedding": [[1.0] * 8]}]), r"shape \(1, 8\)"),
        (changed(lambda data: [data[0] | {"embedding": [float("nan")] * 8}]), "not finite"),
        (changed(lambda data: [data[0] | {"embedding": [1e39] * 8}]), "not finite"),
        (changed(lambda data: [data[0] | {"embedding": [0] * 8}]), "zero"),
        (changed(lambda data: [data[0] | {"embedding": ["a"] * 8}]), "no list of numbers"),
        (changed(lambda data: [data[0] | {"embedding": [1, [2]] * 4}]), "no list of numbers"),
        (changed(lambda data: [data[0] | {"embedding": None}]), "no list of numbers|shape"),
        (changed(lambda _: ["x"]), "not numbered"),  # type: ignore[list-item] # rubbish is the point
        (text("{}"), "no list of embeddings"),
        (text('{"data": {}}'), "no list of embeddings"),
        (text("[1, 2]"), "no list of embeddings|of no use"),
        (text("null"), "no list of embeddings|of no use"),
        (text("{"), "of no use"),
        (text(""), "of no use"),
        (text("<html>sk-hunter2</html>", "text/html"), "no list of embeddings"),
    ],
)
def test_rubbish_is_refused_and_said(server: EmbeddingsServer, make: Make, order: Any, what: str) -> None:
    server.orders.append(order)
    error = failure(make(retries=3))
    assert len(server.requests) == 1
    with pytest.raises(AssertionError, match=what):
        raise AssertionError(error.message)


@pytest.mark.parametrize(
    ("order", "what"),
    [
        (status(500), "answered with HTTP status 500"),
        (status(503), "answered with HTTP status 503"),
        (status(429), "answered with HTTP status 429"),
        (break_off, "could not be reached, or broke off"),
    ],
)
def test_what_may_pass_is_tried_again(
    server: EmbeddingsServer, make: Make, order: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_grpc.openai_models.endpoint.FIRST_PAUSE", 0.01)
    server.orders.extend([order, order])
    np.testing.assert_array_equal(make(retries=2).embed(["a"]), vectors(["a"]))
    assert len(server.requests) == 3
    server.orders.extend([order] * 3)
    error = failure(make(retries=2))
    assert error.message.endswith(f"{what} 3 times")
    assert error.retry_after == 1.0


@pytest.mark.parametrize(("code", "about_texts"), [(400, True), (422, True), (401, False), (404, False)])
def test_what_does_not_pass_is_not_tried_again(
    server: EmbeddingsServer, make: Make, code: int, about_texts: bool
) -> None:
    server.orders.append(status(code))
    error = failure(make(retries=5))
    assert error.message.endswith(f"answered with HTTP status {code}")
    assert (error.retry_after is None) == about_texts
    assert len(server.requests) == 1


def test_a_pause_that_is_asked_for_is_made(server: EmbeddingsServer, make: Make) -> None:
    server.orders.append(status(429, Retry_After="0.3"))
    began = time.monotonic()
    make(retries=1).embed(["a"])
    assert time.monotonic() - began >= 0.3


def test_a_pause_longer_than_there_is_time_is_told_at_once(server: EmbeddingsServer, make: Make) -> None:
    server.orders.append(status(429, Retry_After="60"))
    began = time.monotonic()
    error = failure(make(retries=9, timeout=20.0))
    assert time.monotonic() - began < 10
    assert error.retry_after == 60.0


@pytest.mark.parametrize("after", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "nan", "inf", "soon"])
def test_a_pause_that_is_no_number_is_left_out(server: EmbeddingsServer, make: Make, after: str) -> None:
    server.orders.append(status(503, Retry_After=after))
    assert failure(make()).retry_after == 1.0


@pytest.mark.parametrize("order", [stall, trickle])
def test_an_answer_that_does_not_come_is_given_up_and_tried_again(
    server: EmbeddingsServer, make: Make, order: Any
) -> None:
    server.orders.append(order)
    np.testing.assert_array_equal(make(timeout=1.0, retries=1).embed(["a"]), vectors(["a"]))
    server.orders.extend([order] * 9)
    began = time.monotonic()
    error = failure(make(timeout=0.4, retries=9))
    assert "did not answer in time" in error.message
    assert time.monotonic() - began < 5


def test_nobody_there(make: Make) -> None:
    error = failure(make(base_url="http://127.0.0.1:9/v1"))
    assert error.message.endswith("could not be reached, or broke off")
    assert error.retry_after == 1.0


def test_closing_ends_what_is_asked_and_refuses_the_rest(server: EmbeddingsServer, make: Make) -> None:
    server.orders.append(stall)
    embedder = make(timeout=60.0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(embedder.embed, ["a"])
        assert server.arrived.wait(10)
        embedder.close()
        with pytest.raises(ModelUnavailable, match="stopping"):
            waiting.result(timeout=10)
    with pytest.raises(ModelUnavailable, match="stopping"):
        embedder.embed(["b"])
    embedder.close()
    assert not [each for each in threading.enumerate() if each.name == "openai-far"]


def test_several_threads_share_it(server: EmbeddingsServer, make: Make) -> None:
    embedder = make()
    with ThreadPoolExecutor(4) as pool:
        for place, row in enumerate(pool.map(lambda n: embedder.embed(["a" * n]), range(1, 30)), start=1):
            np.testing.assert_array_equal(row, vectors(["a" * place]))


def test_the_fingerprint_changes_with_all_that_decides_a_vector(make: Make) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"dimension": 9},
        {"shorten": True},
        {"max_characters": 7},
        {"revision": "2"},
        {"query_prefix": "a"},
        {"passage_prefix": "a"},
    ]
    prints = [make(**each).fingerprint for each in changes]
    assert len(set(prints)) == len(prints)
    assert make(base_url="http://127.0.0.1:9/v1", api_key="x", timeout=1.0).fingerprint == prints[0]
    assert prints[0].startswith("openai-1-8-")


def test_the_server_of_these_tests_speaks_the_protocol() -> None:
    whole = json.loads(embeddings(["a"]))
    assert (whole["object"], whole["data"][0]["index"]) == ("list", 0)

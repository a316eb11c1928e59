"""The mock embedder: the same bits everywhere, and near texts near."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.embedders import mock
from rag_grpc.embedders.mock import DIMENSION, MockEmbedder

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "mock_golden.json").read_text("utf-8"))
any_text = st.text(st.characters(exclude_categories=()), max_size=60)  # lone surrogates, too


@pytest.fixture
def embedder() -> MockEmbedder:
    return MockEmbedder()


def packed(text: str) -> bytes:
    return bytes(MockEmbedder().embed([text])[0].astype("<f4").tobytes())


def cosine(one: str, other: str) -> float:
    vectors = MockEmbedder().embed([one, other])
    return float(vectors[0] @ vectors[1])


@pytest.mark.parametrize("entry", GOLDEN["texts"], ids=lambda entry: entry["name"])
def test_golden_vectors(entry: dict[str, str]) -> None:
    vector = packed(entry["text"] * int(entry["times"]))
    assert vector[:32].hex(" ", 4) == entry["first"]
    assert hashlib.sha256(vector).hexdigest() == entry["sha256"]
    assert entry.get("whole", vector.hex()) == vector.hex()


def test_golden_vectors_cover_twenty_texts_and_some_in_full() -> None:
    assert len(GOLDEN["texts"]) >= 20
    assert sum("whole" in entry for entry in GOLDEN["texts"]) >= 4


def test_the_fingerprint_is_that_of_the_golden_vectors(embedder: MockEmbedder) -> None:
    assert embedder.fingerprint == GOLDEN["fingerprint"]


@pytest.mark.parametrize(
    "name", ["WORD", "LETTERS", "PAIR", "TRIGRAM", "FUNCTION_WORD", "FUNCTION_WORDS", "VERSION"]
)
def test_the_fingerprint_changes_with_every_parameter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = MockEmbedder().fingerprint
    monkeypatch.setattr(mock, name, "a" if name == "FUNCTION_WORDS" else getattr(mock, name) + 1)
    mock._fingerprint.cache_clear()
    try:
        assert MockEmbedder().fingerprint != before
    finally:
        mock._fingerprint.cache_clear()


@pytest.mark.parametrize("seed", ["0", "12345"])
def test_another_process_with_another_hash_seed_gives_the_same_bits(seed: str) -> None:
    program = (
        "import sys, json, hashlib\n"
        "from rag_grpc.embedders.mock import MockEmbedder\n"
        "texts = [e['text'] * e['times'] for e in json.load(open(sys.argv[1], encoding='utf-8'))['texts']]\n"
        "rows = MockEmbedder().embed(texts).astype('<f4')\n"
        "print(json.dumps([hashlib.sha256(row.tobytes()).hexdigest() for row in rows]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(HERE / "mock_golden.json")],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(done.stdout) == [entry["sha256"] for entry in GOLDEN["texts"]]


@given(st.lists(any_text, max_size=8))
def test_shape_length_and_order(texts: list[str]) -> None:
    vectors = MockEmbedder().embed(texts)
    assert vectors.shape == (len(texts), DIMENSION)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    alone = [packed(text) for text in texts]
    assert [row.astype("<f4").tobytes() for row in vectors] == alone


def test_a_batch_of_many_slices_equals_its_texts_alone(embedder: MockEmbedder) -> None:
    random_numbers = random.Random(3)
    texts = [f"word{random_numbers.randrange(99)} " * random_numbers.randrange(4000) for _ in range(40)]
    assert sum(map(len, texts)) > 4 * mock._SLICE_CHARACTERS
    together = embedder.embed(texts)
    assert [row.astype("<f4").tobytes() for row in together] == [packed(text) for text in texts]


@given(any_text)
def test_equivalent_forms_are_equal(text: str) -> None:
    composed = packed(unicodedata.normalize("NFC", text))
    assert composed == packed(unicodedata.normalize("NFD", text))


def test_case_and_width_do_not_matter() -> None:
    assert packed("Straße \uff21\uff22\uff23 \ufb01ne") == packed("STRASSE abc FINE")


def test_an_empty_text_is_the_first_unit_vector(embedder: MockEmbedder) -> None:
    vectors = embedder.embed(["", " \n", "\u200b...!"])
    assert (vectors[:, 0] == 1).all()
    assert (vectors[:, 1:] == 0).all()


def test_function_words_are_not_nothing() -> None:
    assert packed("who is it") != packed("")
    assert packed("who is it") != packed("to be")


def test_texts_with_words_in_common_are_near() -> None:
    passage = "The harbour of Rotterdam is the largest seaport of Europe and handles many containers."
    assert cosine(passage, passage) == pytest.approx(1, abs=1e-6)
    assert cosine("largest seaport in Europe", passage) > 0.4
    assert abs(cosine("violin sonatas by young composers", passage)) < 0.2
    assert cosine("hello", "goodbye moon") < 0.5


def test_inflected_words_are_near() -> None:
    assert cosine("splitting documents", "split document") > 0.3
    assert cosine("embeddings", "embedding") > 0.4


@pytest.mark.parametrize(
    ("query", "passage", "other"),
    [
        ("联赛排名", "黑豹队的防守在联赛中排名第六", "手机屏幕的尺寸和颜色"),
        ("ภาษาไทย", "คนไทยพูดภาษาไทยทุกวัน", "รถไฟออกเดินทางตอนเช้า"),
        ("столица России", "Москва является столицей России", "зимой выпадает много снега"),
        ("مدينة القاهرة", "القاهرة مدينة كبيرة", "يلعب الأطفال كرة القدم"),
    ],
)
def test_words_are_found_in_many_scripts(query: str, passage: str, other: str) -> None:
    assert cosine(query, passage) > cosine(query, other) + 0.2


def test_hostile_runs_of_marks_do_not_stall() -> None:
    # CPython sorts such a run in quadratic time: minutes for this one, without the bound on runs.
    vector = packed("a" + "\u0316\u0301" * 300_000)
    assert vector == packed("a" + "\u0316\u0301" * 200_000)


def test_threads_get_the_same_vectors(embedder: MockEmbedder) -> None:
    texts = [f"text {number} about number {number * number}" for number in range(300)]
    expected = embedder.embed(texts)
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(embedder.embed(texts))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all((result == expected).all() for result in results)

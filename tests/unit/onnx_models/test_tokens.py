"""Tokens: what is read of a text, in stretches, and no mark of the model out of a text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag_grpc.onnx_models import tokens
from rag_grpc.onnx_models.folder import ModelFault
from rag_grpc.onnx_models.tokens import ModelTokenizer
from tests.contracts.tiny_models import WORDS, tiny_embedder

CLS, SEP = WORDS.index("[CLS]"), WORDS.index("[SEP]")
HELLO, ONE, TWO = WORDS.index("hello"), WORDS.index("one"), WORDS.index("two")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny_embedder(tmp_path) / "tokenizer.json"


def test_a_row_is_cut_to_what_the_model_reads(file: Path) -> None:
    tokenizer = ModelTokenizer(file, max_length=4)
    assert tokenizer.max_tokens == 2
    assert [row.ids for row in tokenizer.rows(["hello", "one two one", ""])] == [
        [CLS, HELLO, SEP],
        [CLS, ONE, TWO, SEP],
        [CLS, SEP],
    ]


def test_of_a_pair_the_longer_text_is_cut(file: Path) -> None:
    tokenizer = ModelTokenizer(file, max_length=7, pairs=True)
    assert tokenizer.max_tokens == 4
    (row,) = tokenizer.rows_of_pairs([("hello", "one " * 9)])
    assert row.ids == [CLS, HELLO, SEP, ONE, ONE, ONE, SEP]
    assert row.types == [0, 0, 0, 1, 1, 1, 1]
    (row,) = tokenizer.rows_of_pairs([("hello " * 9, "one two")])
    assert row.ids == [CLS, HELLO, HELLO, SEP, ONE, TWO, SEP]


def test_the_models_marks_cannot_be_written_in_a_text(file: Path) -> None:
    tokenizer = ModelTokenizer(file, max_length=32, pairs=True)
    (row,) = tokenizer.rows_of_pairs([("hello", "one [SEP] two [CLS]")])
    assert row.ids.count(SEP) == 2
    assert row.ids.count(CLS) == 1


def test_a_long_text_is_read_in_stretches_and_no_further_than_needed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_STRETCH", 64)
    monkeypatch.setattr(tokens, "_CERTAINLY_SHORT", 64)
    tokenizer = ModelTokenizer(file, max_length=34)
    text = "one two " * 10_000
    assert tokenizer._start(text) == text[: len(tokenizer._start(text))]
    assert len(tokenizer._start(text)) < 500
    (row,) = tokenizer.rows([text])
    assert row.ids == [CLS, *([ONE, TWO] * 16), SEP]
    assert tokenizer.count(text) == 20_000
    assert tokenizer.token_offsets(text)[-1].tolist() == [len(text) - 4, len(text) - 1]


def test_stretches_without_white_space_are_cut_all_the_same(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_STRETCH", 10)
    offsets = ModelTokenizer(file, max_length=34).token_offsets("\u6e2f" * 25)
    np.testing.assert_array_equal(offsets, [[place, place + 1] for place in range(25)])


def test_stretches_give_the_same_tokens_as_the_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Hello, world!\n\nThe harbour of H\u00e5  \u6e2f\u53e3 \U0001f6a2 ships.\t" * 20
    whole = ModelTokenizer(file, max_length=34).token_offsets(text)
    for stretch in range(20, 60):
        monkeypatch.setattr(tokens, "_STRETCH", stretch)
        np.testing.assert_array_equal(ModelTokenizer(file, max_length=34).token_offsets(text), whole)


def test_a_file_that_is_no_tokenizer_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelFault, match="is no tokenizer"):
        ModelTokenizer(tmp_path / "tokenizer.json", max_length=9)


def test_a_length_without_room_for_text_is_a_fault(file: Path) -> None:
    with pytest.raises(ModelFault, match="2 tokens leave no room"):
        ModelTokenizer(file, max_length=2)

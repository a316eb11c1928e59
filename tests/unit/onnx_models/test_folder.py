"""A model's folder: what its files say, what is usual where they say nothing, and what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rag_grpc.onnx_models.folder import ModelFault, ModelFolder
from tests.contracts.tiny_models import tiny_embedder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_embedder(tmp_path / "model")


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def test_without_settings_a_model_is_what_most_are(folder: Path) -> None:
    (folder / "config.json").unlink()
    found = ModelFolder.at(folder)
    assert (found.model, found.tokenizer) == (folder / "model.onnx", folder / "tokenizer.json")
    assert (found.pooling, found.normalize) == (None, None)
    assert (found.max_tokens, found.positions, found.padding_id) == (512, 0, 0)
    assert found.prompt("query") == ""


def test_what_the_files_say_is_taken(folder: Path) -> None:
    write(
        folder, "1_Pooling/config.json", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    )
    write(
        folder,
        "modules.json",
        [{"type": "x.Transformer"}, {"type": "sentence_transformers.models.Normalize"}],
    )
    write(folder, "sentence_bert_config.json", {"max_seq_length": 32})
    write(folder, "config_sentence_transformers.json", {"prompts": {"query": "q: ", "passage": "p: "}})
    found = ModelFolder.at(folder)
    assert (found.pooling, found.normalize, found.max_tokens) == ("cls", True, 32)
    assert (found.prompt("query"), found.prompt("document", "passage")) == ("q: ", "p: ")


def test_modules_without_normalisation_make_vectors_of_any_length(folder: Path) -> None:
    write(folder, "modules.json", [{"type": "x.Transformer"}, {"type": "x.Pooling"}])
    assert ModelFolder.at(folder).normalize is False


@pytest.mark.parametrize(
    ("tokenizer", "config", "expected"),
    [
        ({"model_max_length": 1e30}, {}, 512),
        ({"model_max_length": 128}, {}, 128),
        ({"model_max_length": 512}, {"max_position_embeddings": 64}, 64),
        ({}, {"max_position_embeddings": 514, "model_type": "xlm-roberta", "pad_token_id": 1}, 512),
        ({"model_max_length": "many"}, {"max_position_embeddings": "many"}, 512),
    ],
)
def test_the_length_is_what_the_model_has_places_for(
    folder: Path, tokenizer: Any, config: Any, expected: int
) -> None:
    write(folder, "tokenizer_config.json", tokenizer)
    write(folder, "config.json", config)
    assert ModelFolder.at(folder).max_tokens == expected


def test_the_model_file_is_found_or_named(folder: Path) -> None:
    (folder / "onnx").mkdir()
    shutil.move(folder / "model.onnx", folder / "onnx" / "model.onnx")
    assert ModelFolder.at(folder).model == folder / "onnx" / "model.onnx"
    shutil.move(folder / "onnx" / "model.onnx", folder / "odd.onnx")
    assert ModelFolder.at(folder).model == folder / "odd.onnx"
    shutil.copy(folder / "odd.onnx", folder / "even.onnx")
    with pytest.raises(ModelFault, match=r"say `file=` for one of its ONNX files: even.onnx, odd.onnx"):
        ModelFolder.at(folder)
    assert ModelFolder.at(folder, "even.onnx").model == folder / "even.onnx"
    with pytest.raises(ModelFault, match=r"has no file 'other.onnx'"):
        ModelFolder.at(folder, "other.onnx")


def test_a_settings_file_that_is_no_json_is_a_fault(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelFault, match=r"config.json' is no JSON"):
        ModelFolder.at(folder)


def test_the_digest_is_of_what_decides_a_vector(folder: Path) -> None:
    first = ModelFolder.at(folder).digest()
    shutil.copytree(folder, folder.parent / "copy")
    (folder.parent / "copy" / "README.md").write_text("other words")
    assert ModelFolder.at(folder.parent / "copy").digest() == first
    (folder / "model.onnx_data").write_bytes(b"weights")
    with_weights = ModelFolder.at(folder).digest()
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + " ")
    assert len({first, with_weights, ModelFolder.at(folder).digest()}) == 3

"""ONNX embedders: one vector a text, by what the folder and the settings say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_grpc.core.errors import ModelUnavailable, NotReady
from rag_grpc.embedders.fastembed import EmbedderOptions, FastembedEmbedder, pooled
from rag_grpc.onnx_models import known
from rag_grpc.onnx_models.folder import ModelFault
from rag_grpc.onnx_models.session import Computed, ModelSession
from tests.contracts.tiny_models import DIMENSION, tiny_embedder, tiny_pair_model


def made(folder: Path | str, cache: Path | None = None, **options: Any) -> FastembedEmbedder:
    return FastembedEmbedder("tiny", str(folder), EmbedderOptions(**options), cache=cache or Path("nowhere"))


def loaded(folder: Path | str, cache: Path | None = None, **options: Any) -> FastembedEmbedder:
    embedder = made(folder, cache, **options)
    embedder.load()
    return embedder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_embedder(tmp_path / "model")


def computed(*rows: list[list[float]]) -> Computed:
    longest = max(map(len, rows))
    output = np.full((len(rows), longest, 2), 99, np.float32)
    mask = np.zeros((len(rows), longest), np.int64)
    for place, row in enumerate(rows):
        output[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return Computed(range(len(rows)), output, mask)


def test_token_vectors_become_one_without_the_padding() -> None:
    part = computed([[3, 4]], [[1, 0], [2, 1], [6, 2]])
    assert pooled(part, "mean", normalize=False).tolist() == [[3, 4], [3, 1]]
    assert pooled(part, "cls", normalize=False).tolist() == [[3, 4], [1, 0]]
    assert pooled(part, "last", normalize=False).tolist() == [[3, 4], [6, 2]]
    np.testing.assert_allclose(pooled(part, "last", normalize=True)[0], [0.6, 0.8])
    ready = Computed([0], np.array([[0, 2]], np.float32), np.ones((1, 3), np.int64))
    assert pooled(ready, "mean", normalize=True).tolist() == [[0, 1]]


def test_options_go_before_the_folders_files_and_those_before_what_is_usual(folder: Path) -> None:
    text = ["one two three"]
    usual = loaded(folder)
    np.testing.assert_array_equal(
        usual.embed(text), loaded(folder, pooling="mean", normalize=True).embed(text)
    )
    first = loaded(folder, pooling="cls").embed(text)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    np.testing.assert_array_equal(loaded(folder).embed(text), first)
    np.testing.assert_array_equal(loaded(folder, pooling="mean").embed(text), usual.embed(text))
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-6)
    assert not np.allclose(np.linalg.norm(loaded(folder, normalize=False).embed(text)), 1)


def test_prefixes_stand_before_texts_and_take_of_their_room(folder: Path) -> None:
    bare = loaded(folder, max_tokens=12)
    assert bare.max_tokens == 10
    embedder = loaded(folder, max_tokens=12, query_prefix="query: ", passage_prefix="one two three ")
    assert embedder.max_tokens == 7
    np.testing.assert_array_equal(embedder.embed_queries(["a"]), bare.embed(["query: a"]))
    np.testing.assert_array_equal(embedder.embed(["a"]), bare.embed(["one two three a"]))
    prompts = {"prompts": {"query": "query: ", "document": "passage: "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    said = loaded(folder)
    np.testing.assert_array_equal(said.embed_queries(["a"]), bare.embed(["query: a"]))
    np.testing.assert_array_equal(said.embed(["a"]), bare.embed(["passage: a"]))
    np.testing.assert_array_equal(loaded(folder, query_prefix="").embed_queries(["a"]), bare.embed(["a"]))


def test_the_fingerprint_is_of_the_files_and_of_what_decides_a_vector(folder: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"pooling": "cls"},
        {"normalize": False},
        {"max_tokens": 9},
        {"query_prefix": "a"},
        {"passage_prefix": "a"},
    ]
    prints = [loaded(folder, **each).fingerprint for each in changes]
    assert len(set(prints)) == len(prints)
    assert prints[0].startswith(f"onnx-1-{DIMENSION}-")
    assert loaded(folder, threads=2, dense_weight=0.9, pooling="mean").fingerprint == prints[0]
    copy = shutil.copytree(folder, folder.parent / "elsewhere")
    assert loaded(copy).fingerprint == prints[0]
    other = tiny_embedder(folder.parent / "other", quantised=True)
    assert loaded(other).fingerprint not in prints


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"max_tokens": 65}, "the model has places for 64"),
        ({"max_tokens": 2}, "leave no room"),
        ({"max_tokens": 5, "passage_prefix": "one two three"}, "behind the prefix"),
        ({"max_tokens": 5, "query_prefix": "one two three"}, "behind the prefix"),
        ({"file": "other.onnx"}, "has no file"),
    ],
)
def test_settings_that_cannot_be_are_faults(folder: Path, options: dict[str, Any], what: str) -> None:
    with pytest.raises(ModelFault, match=what):
        loaded(folder, **options)


def test_a_folder_or_file_that_is_missing_is_found_before_loading(folder: Path, tmp_path: Path) -> None:
    made(folder).check()
    with pytest.raises(ModelFault, match="there is no folder"):
        made(tmp_path / "missing").check()
    with pytest.raises(ModelFault, match="there is no folder"):
        loaded("./missing")
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelFault, match=r"has no model\.onnx"):
        made(folder).check()


def test_a_model_that_makes_no_embeddings_is_a_fault(tmp_path: Path) -> None:
    folder = tiny_embedder(tmp_path, dimension=5000)
    with pytest.raises(ModelFault, match=r"shape \(1, \d+, 5000\), which is no embedding"):
        loaded(folder)


def test_a_model_that_fails_is_unavailable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = loaded(folder)

    def broken(*_: object) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(ModelSession, "_run", broken)
    with pytest.raises(ModelUnavailable, match="embedder 'tiny' failed with RuntimeError") as caught:
        embedder.embed(["a"])
    assert "secret" not in caught.value.message


def test_nothing_is_known_of_a_model_that_is_not_loaded(folder: Path) -> None:
    embedder = made(folder)
    assert (embedder.name, embedder.dense_weight) == ("tiny", 0.5)
    for ask in (
        lambda: embedder.dimension,
        lambda: embedder.fingerprint,
        lambda: embedder.max_tokens,
        lambda: embedder.tokenizer,
        lambda: embedder.embed(["a"]),
        lambda: embedder.embed_queries(["a"]),
    ):
        with pytest.raises(NotReady):
            ask()


# ---------------------------------------------------------------------------- by name


def test_names_are_those_of_fastembed() -> None:
    small = known.known_embedder("baai/BGE-small-en-v1.5")
    assert (small.name, small.pooling, small.normalize) == ("BAAI/bge-small-en-v1.5", "cls", True)
    assert small.query_prefix.startswith("Represent this sentence")
    e5 = known.known_embedder("intfloat/multilingual-e5-large")
    assert (e5.pooling, e5.query_prefix, e5.passage_prefix) == ("mean", "query: ", "passage: ")
    assert known.known_embedder("sentence-transformers/all-MiniLM-L6-v2").normalize
    assert known.known_reranker("xenova/ms-marco-minilm-l-6-v2").file == "onnx/model.onnx"
    with pytest.raises(ModelFault, match="of a kind that is not run here"):
        known.known_embedder("Qdrant/clip-ViT-B-32-text")


def test_every_prefix_is_of_a_model_that_there_is() -> None:
    for name in known._PREFIXES:
        assert known.known_embedder(name).name.lower() == name


def test_a_model_by_name_is_fetched_once_it_is_loaded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fastembed.common.model_management as management

    asked = []

    def download(description: Any, cache: str) -> Path:
        asked.append((description.model, cache))
        return folder

    monkeypatch.setattr(management.ModelManagement, "download_model", staticmethod(download))
    embedder = made("sentence-transformers/all-MiniLM-L6-v2", tmp_path / "cache")
    embedder.check()
    assert asked == []
    embedder.load()
    assert asked == [("sentence-transformers/all-MiniLM-L6-v2", str(tmp_path / "cache"))]
    np.testing.assert_array_equal(embedder.embed(["a"]), loaded(folder).embed(["a"]))
    pair = tiny_pair_model(tmp_path / "pair")
    (pair / "onnx").mkdir()
    shutil.move(pair / "model.onnx", pair / "onnx" / "model.onnx")
    monkeypatch.setattr(management.ModelManagement, "download_model", staticmethod(lambda *_: pair))
    assert known.fetch_reranker("Xenova/ms-marco-MiniLM-L-6-v2", tmp_path) == pair


def test_a_model_that_cannot_be_fetched_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fastembed.common.model_management as management

    def refuse(*_: object) -> Path:
        raise ValueError("no network")

    monkeypatch.setattr(management.ModelManagement, "download_model", staticmethod(refuse))
    with pytest.raises(ModelFault, match=r"could not be fetched .* name a folder that holds it"):
        loaded("sentence-transformers/all-MiniLM-L6-v2", tmp_path)

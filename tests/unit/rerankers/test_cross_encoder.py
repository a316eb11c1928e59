"""Cross-encoders: order, batches, time, and models that are not there or are something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_grpc.core.errors import ModelUnavailable, NotReady
from rag_grpc.onnx_models import session as sessions
from rag_grpc.onnx_models.folder import ModelFault
from rag_grpc.onnx_models.session import Computed, ModelSession
from rag_grpc.rerankers.cross_encoder import CrossEncoderOptions, CrossEncoderReranker
from tests.contracts.tiny_models import tiny_embedder, tiny_pair_model

TEXTS = ["nine quick jackdaws", "a harbour full of ships", "ships", "hello world", "full of ships"]


class Clock:
    """Goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


def made(folder: Path, **options: Any) -> CrossEncoderReranker:
    return CrossEncoderReranker(
        "tiny", str(folder), CrossEncoderOptions(**options), cache=folder, clock=Clock()
    )


def loaded(folder: Path, **options: Any) -> CrossEncoderReranker:
    reranker = made(folder, **options)
    reranker.load()
    return reranker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_pair_model(tmp_path / "model")


@pytest.fixture
def one_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "BATCH_TOKENS", 1)


def test_scores_stand_in_the_order_of_the_texts(folder: Path) -> None:
    reranker = loaded(folder)
    scores = reranker.score("a harbour full of ships", TEXTS)
    assert scores.argmax() == 1
    assert np.argsort(-scores)[:3].tolist() == [1, 4, 2]
    backwards = reranker.score("a harbour full of ships", TEXTS[::-1])
    np.testing.assert_allclose(backwards[::-1], scores, rtol=1e-5)


def test_batches_do_not_change_scores(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = loaded(folder)
    sizes = []
    run = ModelSession._run

    def counted(model: ModelSession, rows: Any, places: Any) -> Computed:
        sizes.append(len(rows))
        return run(model, rows, places)

    monkeypatch.setattr(ModelSession, "_run", counted)
    together = reranker.score("ships", TEXTS)
    assert sizes == [5]
    monkeypatch.setattr(sessions, "BATCH_TOKENS", 16)
    np.testing.assert_allclose(reranker.score("ships", TEXTS), together, rtol=1e-5)
    assert len(sizes) > 2
    assert sum(sizes) == 10


def test_two_numbers_a_pair_are_one_score(folder: Path, tmp_path: Path) -> None:
    one = loaded(folder).score("ships", TEXTS)
    two = loaded(tiny_pair_model(tmp_path / "two", outputs=2)).score("ships", TEXTS)
    np.testing.assert_allclose(two, 2 * one, rtol=1e-5)


@pytest.mark.usefixtures("one_a_batch")
def test_time_that_is_up_is_told(folder: Path) -> None:
    reranker = loaded(folder, timeout=2.5)
    with pytest.raises(ModelUnavailable, match=r"'tiny' read 3 of 5 candidates in 2.5 s"):
        reranker.score("ships", TEXTS)
    # Looked at between batches: what is whole in time counts.
    assert reranker.score("ships", TEXTS[:3]).shape == (3,)


@pytest.mark.usefixtures("one_a_batch")
def test_what_is_done_when_time_is_up_counts(folder: Path) -> None:
    assert loaded(folder, timeout=0.5).score("ships", ["one"]).shape == (1,)


def test_a_missing_file_is_found_before_loading_and_when_loading(folder: Path, tmp_path: Path) -> None:
    made(folder).check()
    for name in ("tokenizer.json", "model.onnx"):
        (folder / name).unlink()
        with pytest.raises(ModelFault, match=name.replace(".", r"\.")):
            made(folder).check()
        with pytest.raises(ModelFault, match=name.replace(".", r"\.")):
            loaded(folder)
    with pytest.raises(ModelFault, match="there is no folder"):
        loaded(tmp_path / "missing")


def test_a_model_that_gives_no_score_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ModelFault, match=r"shape \(1, 3\), which is no score"):
        loaded(tiny_pair_model(tmp_path / "three", outputs=3))
    with pytest.raises(ModelFault, match="which is no score"):
        loaded(tiny_embedder(tmp_path / "embedder"))


def test_more_tokens_than_the_model_has_places_for_is_a_fault(folder: Path) -> None:
    with pytest.raises(ModelFault, match="the model has places for 64"):
        loaded(folder, max_tokens=65)


@pytest.mark.parametrize("output", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_unavailable(
    folder: Path, monkeypatch: pytest.MonkeyPatch, output: float
) -> None:
    reranker = loaded(folder)
    broken = Computed([0], np.full((1, 1), output, np.float32), np.ones((1, 1), np.int64))
    monkeypatch.setattr(ModelSession, "_run", lambda *_: broken)
    with pytest.raises(ModelUnavailable, match="not finite"):
        reranker.score("a", ["b"])


def test_a_model_that_fails_is_unavailable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = loaded(folder)

    def broken(*_: object) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(ModelSession, "_run", broken)
    with pytest.raises(ModelUnavailable, match="re-ranker 'tiny' failed with RuntimeError") as caught:
        reranker.score("a", ["b"])
    assert "secret" not in caught.value.message


def test_it_says_that_it_is_not_ready_until_it_is_loaded(folder: Path) -> None:
    with pytest.raises(NotReady):
        made(folder).score("a", ["b"])

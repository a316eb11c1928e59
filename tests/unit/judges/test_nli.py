"""The judge of inference: its labels, its windows, its time, and models that are something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_grpc.core.answers import Statement
from rag_grpc.core.errors import ModelUnavailable, NotReady
from rag_grpc.judges.nli import NliJudge, NliOptions
from rag_grpc.onnx_models import session as sessions
from rag_grpc.onnx_models.folder import ModelFault
from rag_grpc.onnx_models.known import NLI_MODELS
from rag_grpc.onnx_models.session import Computed, ModelSession
from tests.contracts.tiny_models import tiny_embedder, tiny_nli_model, tiny_pair_model

SHIPS = "A harbour full of ships."
JACKDAWS = "Nine quick jackdaws."


class Clock:
    """Goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


def made(folder: Path, **options: Any) -> NliJudge:
    return NliJudge("tiny", str(folder), NliOptions(**options), cache=folder, clock=Clock())


def loaded(folder: Path, **options: Any) -> NliJudge:
    judge = made(folder, **options)
    judge.check()
    judge.load()
    return judge


def weigh(judge: NliJudge, text: str, *contexts: str) -> float:
    return judge.weigh([Statement(text, contexts)])[0].value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_nli_model(tmp_path / "model")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each row has that a model reads."""
    lengths: list[int] = []
    run = ModelSession._run

    def noted(model: ModelSession, rows: Any, places: Any) -> Computed:
        lengths.extend(len(each.ids) for each in rows)
        return run(model, rows, places)

    monkeypatch.setattr(ModelSession, "_run", noted)
    return lengths


def test_support_is_the_share_of_entailment_in_the_best_context(folder: Path) -> None:
    judge = loaded(folder)
    same, other = judge.weigh([Statement(SHIPS, (JACKDAWS, SHIPS)), Statement("hello", (JACKDAWS, SHIPS))])
    assert same.value > other.value
    assert same.context == 1
    assert weigh(judge, SHIPS, JACKDAWS, SHIPS) == pytest.approx(
        max(weigh(judge, SHIPS, JACKDAWS), weigh(judge, SHIPS, SHIPS))
    )


@pytest.mark.parametrize(
    "labels",
    [
        ("contradiction", "neutral", "ENTAILMENT"),
        ("not_entailment", "other", "entailment"),
        ("no", "?", "Entail "),
    ],
)
def test_the_order_of_classes_is_the_model_s_own(tmp_path: Path, labels: tuple[str, ...]) -> None:
    assert weigh(loaded(tiny_nli_model(tmp_path / "a", labels=labels)), SHIPS, SHIPS) > 1 / 3
    # With the classes named the other way round, the same numbers mean the opposite.
    assert weigh(loaded(tiny_nli_model(tmp_path / "b", labels=labels[::-1])), SHIPS, SHIPS) < 1 / 3


def test_a_model_that_does_not_name_its_classes_needs_a_word(tmp_path: Path) -> None:
    unnamed = tiny_nli_model(tmp_path / "a", labels=("LABEL_0", "LABEL_1", "LABEL_2"))
    with pytest.raises(
        ModelFault, match="does not say in id2label which class is entailment; say `entailment=`"
    ):
        made(unnamed).check()
    assert weigh(loaded(unnamed, entailment=2), SHIPS, SHIPS) > 1 / 3
    with pytest.raises(ModelFault, match="class 3 is to be entailment"):
        loaded(unnamed, entailment=3)
    for broken in ({"id2label": ["entailment"]}, {"id2label": {"x": "entailment"}}, {}):
        (unnamed / "config.json").write_text(json.dumps(broken))
        with pytest.raises(ModelFault, match="does not say in id2label"):
            made(unnamed).check()


def test_a_long_context_is_read_in_windows_of_sentences(folder: Path, read: list[int]) -> None:
    judge = loaded(folder)
    read.clear()
    long = " ".join([JACKDAWS] * 20 + [SHIPS] + [JACKDAWS] * 20)
    (support,) = judge.weigh([Statement(SHIPS, (JACKDAWS, long))])
    assert support.context == 1
    assert len(read) > 4
    # Nothing is cut off: the model has places for 64 tokens.
    assert max(read) < 64
    assert support.value > weigh(judge, SHIPS, JACKDAWS)


def test_a_sentence_longer_than_the_model_reads_is_cut(folder: Path, read: list[int]) -> None:
    judge = loaded(folder)
    read.clear()
    assert 0 <= weigh(judge, "ship " * 400, "words " * 150 + ". " + SHIPS) <= 1
    assert max(read) == 64


def test_time_is_looked_at_between_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "BATCH_TOKENS", 1)
    judge = loaded(folder, timeout=1.5)
    assert weigh(judge, SHIPS, SHIPS) > 0
    with pytest.raises(ModelUnavailable, match=r"read 2 of 5 passages in 1.5 s"):
        weigh(judge, SHIPS, SHIPS, JACKDAWS, "hello", "world", "ships")


def test_numbers_that_are_none_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = loaded(folder)

    def nonsense(_: ModelSession, rows: Any, places: Any) -> Computed:
        return Computed(
            places, np.full((len(rows), 3), np.nan, np.float32), np.ones((len(rows), 1), np.int64)
        )

    monkeypatch.setattr(ModelSession, "_run", nonsense)
    with pytest.raises(ModelUnavailable, match="judge 'tiny' failed with ValueError"):
        weigh(judge, SHIPS, SHIPS)


def test_models_that_are_not_there_or_something_else(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(NotReady, match="is being loaded"):
        weigh(made(folder), SHIPS, SHIPS)
    with pytest.raises(ModelFault, match="there is no folder"):
        made(tmp_path / "nowhere").check()
    with pytest.raises(ModelFault, match=r"no model is known by that name: Xenova/"):
        NliJudge("a", "nobody/model", NliOptions(), cache=tmp_path).check()
    NliJudge("a", NLI_MODELS[0].upper(), NliOptions(), cache=tmp_path).check()
    for other in (tiny_pair_model(tmp_path / "pair"), tiny_embedder(tmp_path / "embedder")):
        with pytest.raises(ModelFault, match="has the shape"):
            made(other, entailment=0).load()


def test_a_model_that_cannot_be_fetched_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", _no_network)
    with pytest.raises(ModelFault, match=r"could not be fetched to .* \(ConnectionError\); name a folder"):
        NliJudge("a", NLI_MODELS[0], NliOptions(), cache=tmp_path / "cache").load()


def _no_network(*_: object, **__: object) -> None:
    raise ConnectionError

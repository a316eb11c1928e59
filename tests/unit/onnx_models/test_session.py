"""Running rows through a model: batches, bounds, and models whose rows would change each other."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.onnx_models import session as sessions
from rag_grpc.onnx_models.folder import ModelFault
from rag_grpc.onnx_models.session import BATCH_TOKENS, ModelSession, batches
from rag_grpc.onnx_models.tokens import TokenRow
from tests.contracts.tiny_models import tiny_embedder, tiny_pair_model


def row(*ids: int) -> TokenRow:
    return TokenRow(ids, [0] * len(ids))


def session(folder: Path) -> ModelSession:
    return ModelSession(folder / "model.onnx", threads=1, padding_id=0, outputs=("last_hidden_state",))


@given(st.lists(st.integers(1, 2 * BATCH_TOKENS), max_size=60))
def test_batches_hold_every_row_once_the_shortest_first_within_the_bound(lengths: list[int]) -> None:
    made = list(batches(lengths))
    places = [place for batch in made for place in batch]
    assert sorted(places) == list(range(len(lengths)))
    assert [lengths[place] for place in places] == sorted(lengths)
    for batch in made:
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= BATCH_TOKENS


def test_rows_that_fit_share_a_batch() -> None:
    assert list(batches([256] * 16)) == [list(range(16))]
    assert [len(batch) for batch in batches([256] * 17)] == [16, 1]
    assert list(batches([])) == []
    assert list(batches([3, 1, 2], alone=True)) == [[1], [2], [0]]


def test_padding_is_masked(tmp_path: Path) -> None:
    (part,) = session(tiny_embedder(tmp_path)).run([row(2, 4, 3), row(2, 3)])
    assert part.places == [1, 0]
    assert part.mask.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert part.output.shape == (2, 3, 16)
    assert part.output.dtype == np.float32


def test_a_model_that_is_quantised_while_it_runs_gets_its_rows_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(2, 4, 5, 3), row(2, 6, 7, 3)]
    quantised, plain = (
        session(tiny_embedder(tmp_path / str(each), quantised=each)) for each in (True, False)
    )
    assert (quantised.alone, plain.alone) == (True, False)
    assert [part.places for part in quantised.run(rows)] == [[0], [1]]
    alone = np.concatenate([part.output for part in quantised.run(rows)])
    # Together, they would come out otherwise: that is why.
    monkeypatch.setattr(quantised, "alone", False)
    (together,) = quantised.run(rows)
    assert not np.array_equal(together.output, alone)


def test_whoever_stops_asking_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "BATCH_TOKENS", 4)
    model = session(tiny_embedder(tmp_path))
    ran = 0

    def counted(*_: object) -> None:
        nonlocal ran
        ran += 1

    monkeypatch.setattr(model, "_run", counted)
    assert len(list(itertools.islice(model.run([row(2, 4, 3)] * 5), 2))) == 2
    assert ran == 2


def test_what_is_no_model_is_a_fault(tmp_path: Path) -> None:
    folder = tiny_embedder(tmp_path)
    (folder / "model.onnx").write_bytes(b"not at all")
    with pytest.raises(ModelFault, match="cannot be loaded"):
        session(folder)


def test_a_model_of_another_kind_is_a_fault(tmp_path: Path) -> None:
    import onnx

    folder = tiny_embedder(tmp_path)
    model = onnx.load(str(folder / "model.onnx"))
    for graph in (model.graph,):
        graph.input[0].name = "pixels"
        graph.node[0].input[1] = "pixels"
    onnx.save(model, str(folder / "model.onnx"))
    with pytest.raises(ModelFault, match=r"is no model of this kind: it takes pixels"):
        session(folder)


def test_the_output_is_chosen_by_name(tmp_path: Path) -> None:
    folder = tiny_pair_model(tmp_path)
    made = ModelSession(folder / "model.onnx", threads=1, padding_id=0, outputs=("nothing", "logits"))
    (part,) = made.run([row(2, 4, 3)])
    assert part.output.shape == (1, 1)

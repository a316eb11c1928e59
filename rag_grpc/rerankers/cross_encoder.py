"""Cross-encoders in ONNX, from a folder or by a name that fastembed knows.

A cross-encoder reads query and text as one pair, so nothing can be made ready ahead:
a candidate costs what embedding it costs. Hence the time that one re-ranking may take
is bounded: it is looked at between batches, of which none is large.

Scores are what the model puts out, its logits: their order is what counts, and a
squashing function would only make near-equal what the model can tell apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.errors import ModelUnavailable, NotReady
from rag_grpc.onnx_models.folder import ModelFault, ModelFolder
from rag_grpc.onnx_models.known import fetch_reranker, is_folder, known_reranker
from rag_grpc.onnx_models.pair_model import PairModel

_CLASSES_OF_A_PAIR = 2
"""Some models put out two numbers, for "does not answer" and "answers", in place of one."""


@dataclass(frozen=True, slots=True)
class CrossEncoderOptions:
    """How to use a model; None takes what the model itself says."""

    threads: int = 1
    timeout: float = 10.0
    """Seconds that the scoring of one query's candidates may take."""
    file: str = ""
    max_tokens: int | None = None
    """Tokens of query and text together that it reads, its own ones included."""


class CrossEncoderReranker:
    """A Reranker over one ONNX model. `score` raises NotReady until it is loaded."""

    def __init__(
        self,
        name: str,
        target: str,
        options: CrossEncoderOptions,
        *,
        cache: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`target` is a folder, or a name that fastembed knows: then `cache` keeps what is fetched."""
        self._name = name
        self._target = target
        self._options = options
        self._cache = cache
        self._clock = clock
        self._model: PairModel | None = None

    @property
    def name(self) -> str:
        """What a query calls it."""
        return self._name

    def check(self) -> None:
        """Look whether the model is there, or may be fetched, without loading it. Raises ModelFault."""
        if is_folder(self._target):
            ModelFolder.at(Path(self._target).expanduser(), self._options.file)
        else:
            known_reranker(self._target)

    def load(self) -> None:
        """Fetch the model where it is not there, and load it. Blocks. Raises ModelFault."""
        options = self._options
        path, file = Path(self._target).expanduser(), options.file
        if not is_folder(self._target):
            known = known_reranker(self._target)
            path, file = fetch_reranker(known.name, self._cache), file or known.file
        model = PairModel.load(
            ModelFolder.at(path, file), threads=options.threads, max_tokens=options.max_tokens
        )
        shape = model.shape()
        if shape not in ((1,), (1, 1), (1, _CLASSES_OF_A_PAIR)):
            raise ModelFault(f"the model's output for one pair has the shape {shape}, which is no score")
        self._model = model

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Score texts against a query: shape (len(texts),)."""
        if self._model is None:
            raise NotReady(f"the model of re-ranker {self._name!r} is being loaded")
        try:
            scores = self._scores(self._model, query, texts)
        except ModelUnavailable:
            raise
        except Exception as error:  # onnxruntime's errors have no common base
            raise ModelUnavailable(f"re-ranker {self._name!r} failed with {type(error).__name__}") from error
        if not np.isfinite(scores).all():
            raise ModelUnavailable(f"re-ranker {self._name!r} gave a score that is not finite")
        return scores

    def _scores(self, model: PairModel, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        deadline = self._clock() + self._options.timeout
        scores = np.empty(len(texts), np.float32)
        done = 0
        for part in model.run([(query, text) for text in texts]):
            scores[part.places] = _logits(part.output)
            done += len(part.places)
            if done < len(texts) and self._clock() > deadline:
                raise self._too_slow(done, len(texts))
        return scores

    def _too_slow(self, done: int, wanted: int) -> ModelUnavailable:
        return ModelUnavailable(
            f"re-ranker {self._name!r} read {done} of {wanted} candidates in {self._options.timeout:g} s: ask"
            " for fewer candidates"
        )


def _logits(output: NDArray[np.float32]) -> NDArray[np.float32]:
    if output.ndim == 1:
        return output
    if output.shape[1] == _CLASSES_OF_A_PAIR:
        difference: NDArray[np.float32] = output[:, 1] - output[:, 0]
        return difference
    return output[:, 0]

"""Support by natural language inference: a model in ONNX says whether a sentence follows from a passage.

It reads passage and sentence as one pair and gives each a share of "entailment",
"neutral" and "contradiction"; support is the first. So it sees what words alone do not
say: negations, roles, synonyms. Which of its numbers means what differs from model to
model, and is taken from the `id2label` of its config.json.

Such a model was trained on single sentences as premises and reads a few hundred tokens.
A context is therefore read in windows of whole sentences, each beginning with the last
sentence of the one before, and the window that supports a sentence best counts. What
follows from two passages together, and from neither alone, is not seen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.answers import Statement, Support
from rag_grpc.core.errors import ModelUnavailable, NotReady
from rag_grpc.core.sentences import sentences
from rag_grpc.onnx_models.folder import ModelFault, ModelFolder
from rag_grpc.onnx_models.known import fetch_nli, is_folder, known_nli
from rag_grpc.onnx_models.pair_model import PairModel

WINDOW_TOKENS: Final = 160
"""Of a window: three to six sentences. More would fit, and would be judged worse."""
_SHARE: Final = 2 / 3
"""The most of what the model reads that a window takes; the rest is for the sentence."""
_CLASSES: Final = range(2, 10)


@dataclass(frozen=True, slots=True)
class NliOptions:
    """How to use a model; None takes what the model itself says."""

    threads: int = 1
    timeout: float = 30.0
    """Seconds that the weighing of a batch may take."""
    file: str = ""
    max_tokens: int | None = None
    """Tokens of passage and sentence together that it reads, its own ones included."""
    entailment: int | None = None
    """Which class means that the sentence follows, from 0, where config.json does not say."""


class _Window(NamedTuple):
    """A part of a context, and which context that is."""

    text: str
    context: int


class NliJudge:
    """A Judge over one ONNX model. `weigh` raises NotReady until it is loaded."""

    max_batch = 8

    def __init__(
        self,
        name: str,
        target: str,
        options: NliOptions,
        *,
        cache: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`target` is a folder, or one of NLI_MODELS: then `cache` keeps what is fetched."""
        self._name = name
        self._target = target
        self._options = options
        self._cache = cache
        self._clock = clock
        self._model: PairModel | None = None
        self._entailment = 0

    @property
    def name(self) -> str:
        """What a request calls it."""
        return self._name

    def check(self) -> None:
        """Look whether the model is there, or may be fetched, without loading it. Raises ModelFault."""
        if is_folder(self._target):
            folder = ModelFolder.at(Path(self._target).expanduser(), self._options.file)
            _entailment(folder, self._options)
        else:
            known_nli(self._target)

    def load(self) -> None:
        """Fetch the model where it is not there, and load it. Blocks. Raises ModelFault."""
        options = self._options
        path, file = Path(self._target).expanduser(), options.file
        if not is_folder(self._target):
            path, file = fetch_nli(self._target, self._cache), file or known_nli(self._target).file
        folder = ModelFolder.at(path, file)
        self._entailment = _entailment(folder, options)
        model = PairModel.load(folder, threads=options.threads, max_tokens=options.max_tokens)
        shape = model.shape()
        if len(shape) != 2 or shape[1] not in _CLASSES or self._entailment >= shape[1]:  # noqa: PLR2004
            raise ModelFault(
                f"the model's output for one pair has the shape {shape}: it needs two classes or three, and"
                f" class {self._entailment} is to be entailment"
            )
        self._model = model

    def weigh(self, statements: Sequence[Statement]) -> list[Support]:
        """Weigh statements: the probability that each follows from the best window of its contexts."""
        if self._model is None:
            raise NotReady(f"the model of judge {self._name!r} is being loaded")
        try:
            return self._weighed(self._model, statements)
        except ModelUnavailable:
            raise
        except Exception as error:  # onnxruntime's errors have no common base
            raise ModelUnavailable(f"judge {self._name!r} failed with {type(error).__name__}") from error

    def _weighed(self, model: PairModel, statements: Sequence[Statement]) -> list[Support]:
        deadline = self._clock() + self._options.timeout
        windows: dict[tuple[str, ...], list[_Window]] = {}
        for each in statements:
            contexts = tuple(each.contexts)
            if contexts not in windows:
                windows[contexts] = list(self._windows(model, contexts))
        asked = [
            (place, window)
            for place, each in enumerate(statements)
            for window in windows[tuple(each.contexts)]
        ]
        supports = [Support(0.0)] * len(statements)
        done, values = 0, np.empty(len(asked), np.float64)
        for part in model.run([(window.text, statements[place].text) for place, window in asked]):
            values[part.places] = _shares(part.output)[:, self._entailment]
            done += len(part.places)
            if done < len(asked) and self._clock() > deadline:
                raise ModelUnavailable(
                    f"judge {self._name!r} read {done} of {len(asked)} passages in {self._options.timeout:g}"
                    " s: give it fewer or shorter contexts"
                )
        # The first of equals, as they stand in the request.
        for (place, window), value in zip(asked, values.tolist(), strict=True):
            if value > supports[place].value:
                supports[place] = Support(min(value, 1.0), window.context)
        return supports

    def _windows(self, model: PairModel, contexts: Sequence[str]) -> Iterator[_Window]:
        room = max(1, min(WINDOW_TOKENS, int(model.tokenizer.max_tokens * _SHARE)))
        for number, context in enumerate(contexts):
            spans = sentences(context)
            lengths = [model.tokenizer.count(context[span.start : span.end]) for span in spans]
            first = 0
            while first < len(spans):
                last, tokens = first, lengths[first]
                while last + 1 < len(spans) and tokens + lengths[last + 1] <= room:
                    last += 1
                    tokens += lengths[last]
                yield _Window(context[spans[first].start : spans[last].end], number)
                if last + 1 == len(spans):
                    break
                # With the last sentence once more, if there is room for it and for another one.
                again = last > first and lengths[last] + lengths[last + 1] <= room
                first = last if again else last + 1


def _shares(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Turn each row's numbers into shares of 1. Raises ValueError for what is not finite."""
    wide = logits.astype(np.float64)
    if not np.isfinite(wide).all():
        raise ValueError("a number that is not finite")
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _entailment(folder: ModelFolder, options: NliOptions) -> int:
    """Find the class that means that the second text follows from the first. Raises ModelFault."""
    if options.entailment is not None:
        return options.entailment
    file = folder.path / "config.json"
    try:
        labels = json.loads(file.read_text("utf-8"))["id2label"]
        found = [
            int(number)
            for number, label in labels.items()
            if str(label).strip().casefold() in ("entailment", "entail", "entailed")
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        found = []
    if len(found) != 1:
        raise ModelFault(
            f"{str(file)!r} does not say in id2label which class is entailment; say `entailment=`"
            " with its number"
        )
    return found[0]

"""A transformer in onnxruntime: rows of tokens in, arrays out, with bounded threads and memory.

**Batches.** Rows are sorted by length, so that little of a batch is padding, and a
batch is bounded by its tokens: attention takes memory by the square of the length.

**Models quantised while they run.** Dynamic quantisation scales the numbers of a whole
batch by its largest one, so a text's vector depends on what is beside it: for MiniLM
in 8 bits, cosines down to 0.991 between a text alone and the same in a batch of 40.
What is promised of a model here is one vector a text, so such a model gets one row at a
time. That costs little: measured on one core, 11.5 texts of 240 tokens a second alone
and 10.0 in batches of 32; only rows of a few words lose, 143 a second against 193.

**Threads.** onnxruntime takes every core by default and lets idle threads spin. Here a
call computes on `threads` cores, its caller's among them, and idle threads sleep, so
that searches keep their latency while documents are embedded.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime  # type: ignore[import-untyped] # it has no stubs
from numpy.typing import NDArray

from rag_grpc.onnx_models.folder import ModelFault
from rag_grpc.onnx_models.tokens import TokenRow

BATCH_TOKENS: Final = 4096
"""Tokens of a batch, padding included: 16 rows of 256, whose attention takes some 50 MB in a small model."""

_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_QUANTISED_WHILE_RUNNING: Final = b"DynamicQuantize"
"""Begins the names of the operators that do it; an ONNX file holds names as they are."""
_ONLY_ERRORS: Final = 3


@dataclass(frozen=True, slots=True)
class Computed:
    """What a model made of some rows: places of the rows, output of shape (rows, ...), their mask."""

    places: Sequence[int]
    output: NDArray[np.float32]
    mask: NDArray[np.int64]


class ModelSession:
    """One model, loaded. Safe to call from any thread; several calls compute side by side."""

    def __init__(self, file: Path, *, threads: int, padding_id: int, outputs: Sequence[str]) -> None:
        """Load a model. The first of `outputs` that it has is used, else its first one. Raises ModelFault."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ONLY_ERRORS
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            # By its path, since weights may lie in files beside it.
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common base
            raise ModelFault(f"{str(file)!r} cannot be loaded: {_first_line(error)}") from error
        self._padding_id = padding_id
        self._inputs = {each.name: each.type for each in self._session.get_inputs()}
        unknown = sorted(set(self._inputs) - set(_INPUTS))
        if unknown or "input_ids" not in self._inputs:
            raise ModelFault(
                f"{str(file)!r} is no model of this kind: it takes {', '.join(self._inputs)}, and a text"
                f" model takes input_ids and at most {', '.join(_INPUTS[1:])} beside"
            )
        has = [each.name for each in self._session.get_outputs()]
        self._output = next((each for each in outputs if each in has), has[0])
        self.alone = _holds(file, _QUANTISED_WHILE_RUNNING)
        """Whether it takes one row at a time, because rows of a batch would change each other."""

    def run(self, rows: Sequence[TokenRow]) -> Iterator[Computed]:
        """Compute all rows, in batches, the shortest first; whoever stops asking ends it.

        Raises what onnxruntime raises.
        """
        for places in batches([len(each.ids) for each in rows], alone=self.alone):
            yield self._run([rows[place] for place in places], places)

    def _run(self, rows: Sequence[TokenRow], places: Sequence[int]) -> Computed:
        shape = (len(rows), max(len(each.ids) for each in rows))
        ids = np.full(shape, self._padding_id, np.int64)
        mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, tokens in enumerate(rows):
            length = len(tokens.ids)
            ids[row, :length] = tokens.ids
            types[row, :length] = tokens.types
            mask[row, :length] = 1
        arrays = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": types,
            "position_ids": np.broadcast_to(np.arange(shape[1]), shape),
        }
        feed: dict[str, Any] = {
            name: arrays[name].astype(np.int32 if "int32" in kind else np.int64, copy=False)
            for name, kind in self._inputs.items()
        }
        (output,) = self._session.run([self._output], feed)
        return Computed(places, np.asarray(output, np.float32), mask)


def batches(lengths: Sequence[int], *, alone: bool = False) -> Iterator[list[int]]:
    """Part rows, by length, into batches of at most BATCH_TOKENS with padding; at least one row each."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        # The row at hand is the longest so far: all would be padded to it.
        if batch and (alone or (len(batch) + 1) * lengths[place] > BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _holds(file: Path, name: bytes) -> bool:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped.find(name) >= 0


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]

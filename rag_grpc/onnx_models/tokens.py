"""From text to a model's tokens, through the library `tokenizers`.

Three things that the library leaves to its callers:

* It reads a text whole before it cuts it, and an `Encoding` takes some 200 bytes a
  token. Texts are therefore read in stretches, and no further than the model reads.
* Words such as "[SEP]" in a text would become the model's own marks, by which a text
  could pretend to be the query of a re-ranker. Here they are plain text.
* `encode` keeps Python's lock, and with it the event loop, for as long as it takes: 150 ms
  were seen for a stretch on a busy machine. `encode_batch` lets go of it. It would also
  take threads of its own, a pool of as many as there are processors, which only a
  variable of the environment turns off; nobody else here reads that one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import tokenizers
from numpy.typing import NDArray

from rag_grpc.onnx_models.folder import ModelFault

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

_STRETCH: Final = 1 << 15
"""Characters that are tokenised at a time: some 2 MB of the library's objects."""
_CERTAINLY_SHORT: Final = 1 << 13
"""Texts of so many characters are handed over whole, whatever is read of them."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """What a model reads of a text, or of a pair: ids and, for each, 0 or 1 for the text of the pair."""

    ids: Sequence[int]
    types: Sequence[int]


class ModelTokenizer:
    """The port `Tokenizer`, and rows for the model. Safe to call from any thread."""

    def __init__(self, file: Path, *, max_length: int, pairs: bool = False) -> None:
        """Read a tokenizer.json. `max_length` counts the model's own tokens too.

        Raises ModelFault.
        """
        self._whole = _load(file)
        self._cut = _load(file)
        self._own = self._cut.num_special_tokens_to_add(pairs)
        self.max_tokens = max_length - self._own
        """Tokens of text that fit."""
        if self.max_tokens < 1:
            raise ModelFault(f"{max_length} tokens leave no room for text: {self._own} are the model's own")
        # Of a pair, the longer text is cut first, so that a short question always stays whole.
        self._cut.enable_truncation(max_length, strategy="longest_first")

    def token_offsets(self, text: str) -> NDArray[np.int64]:
        """Find where each token stands: shape (tokens, 2), in code points, in order."""
        parts = [np.empty((0, 2), np.int64), *(each for _, each in self._stretches(text))]
        # Some tokenizers report marks apart from their letters; to callers, tokens go forward.
        return np.maximum.accumulate(np.concatenate(parts), axis=0)

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return sum(len(offsets) for _, offsets in self._stretches(text))

    def rows(self, texts: Sequence[str]) -> list[TokenRow]:
        """Read texts, each as far as the model does."""
        return self._rows([self._start(text) for text in texts])

    def rows_of_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[TokenRow]:
        """Read each pair, its second text after its first."""
        starts = {text: self._start(text) for text in {each for pair in pairs for each in pair}}
        return self._rows([(starts[first], starts[second]) for first, second in pairs])

    def _rows(self, texts: Sequence[str] | Sequence[tuple[str, str]]) -> list[TokenRow]:
        # A model without tokens of its own has none for an empty text; every model takes one.
        return [
            TokenRow(each.ids or [0], each.type_ids or [0]) for each in self._cut.encode_batch(list(texts))
        ]

    def _start(self, text: str) -> str:
        """Give as much of a text as the model can read, or a little more."""
        if len(text) <= _CERTAINLY_SHORT:
            return text
        tokens = 0
        for start, offsets in self._stretches(text):
            tokens += len(offsets)
            if tokens > self.max_tokens:
                return text[: start + _STRETCH]
        return text

    def _stretches(self, text: str) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Tokenise in stretches that begin at white space: each one's start and its tokens' offsets."""
        start = 0
        while start < len(text):
            end = min(start + _STRETCH, len(text))
            if end < len(text):
                space = max(text.rfind(each, start + 1, end) for each in " \n\t")
                end = space if space > 0 else end
            (encoding,) = self._whole.encode_batch([text[start:end]], add_special_tokens=False)
            yield start, np.array(encoding.offsets, np.int64).reshape(-1, 2) + start
            start = end


def _load(file: Path) -> tokenizers.Tokenizer:
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exception
        raise ModelFault(f"{str(file)!r} is no tokenizer: {error}") from error
    # Both may stand in the file; rows are filled and cut as the model and the settings want it.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer

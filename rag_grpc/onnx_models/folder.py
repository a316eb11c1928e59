"""A model's folder: which of its files count, and what they say of how the model is used.

The layout is that of sentence-transformers and of ONNX exports on model hubs. Nothing
but the model and its `tokenizer.json` is required; what no file says is what nearly
all small text models are: at most 512 tokens, mean pooling, vectors of length 1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

Pooling = Literal["mean", "cls", "last"]
POOLINGS: Final = ("mean", "cls", "last")

DEFAULT_MAX_TOKENS: Final = 512
_MOST_TOKENS: Final = 1_000_000
"""Tokenizers that know no bound say 1e30, or the like."""

_MODEL_FILES: Final = (
    "model.onnx",
    "onnx/model.onnx",
    "model_optimized.onnx",
    "model_quantized.onnx",
    "onnx/model_quantized.onnx",
)
_READ_AT_ONCE: Final = 1 << 20


class ModelFault(Exception):
    """A model that cannot be used as it lies there. The message says what would be right."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """Where a model lies, and its file within."""

    path: Path
    model: Path
    _settings: Mapping[str, Mapping[str, Any]] = field(repr=False)

    @classmethod
    def at(cls, path: Path, model: str = "") -> ModelFolder:
        """Look at a folder; `model` names the ONNX file in it, if it is to be a certain one.

        Raises ModelFault where a file is missing or cannot be read. Loads nothing large.
        """
        if not path.is_dir():
            raise ModelFault(f"there is no folder {str(path)!r}")
        file = _model_file(path, model)
        if not (path / "tokenizer.json").is_file():
            raise ModelFault(f"{str(path)!r} has no tokenizer.json, without which no text can be read")
        return cls(path, file, {name: _json(path / name) for name in _SETTINGS})

    @property
    def tokenizer(self) -> Path:
        """The file that says how text becomes tokens."""
        return self.path / "tokenizer.json"

    @property
    def pooling(self) -> Pooling | None:
        """How token vectors become one, where the folder says so."""
        said = self._settings["1_Pooling/config.json"]
        for pooling, key in (
            ("cls", "pooling_mode_cls_token"),
            ("last", "pooling_mode_lasttoken"),
            ("mean", "pooling_mode_mean_tokens"),
        ):
            if said.get(key):
                return cast("Pooling", pooling)
        return None

    @property
    def normalize(self) -> bool | None:
        """Whether vectors are brought to length 1, where the folder says so."""
        modules = self._settings["modules.json"].get("list")
        if not modules:
            return None
        return any(str(each.get("type", "")).endswith("Normalize") for each in modules)

    @property
    def max_tokens(self) -> int:
        """How many tokens the model reads at most, its own ones included."""
        said = (
            self._settings["sentence_bert_config.json"].get("max_seq_length"),
            self._settings["tokenizer_config.json"].get("model_max_length"),
        )
        usable = [each for each in said if isinstance(each, int | float) and 0 < each < _MOST_TOKENS]
        return min(int(usable[0]) if usable else DEFAULT_MAX_TOKENS, self.positions or _MOST_TOKENS)

    @property
    def positions(self) -> int:
        """How many places the model's table of positions has; 0 where the folder does not say."""
        config = self._settings["config.json"]
        places = config.get("max_position_embeddings")
        if not isinstance(places, int) or places <= 0:
            return 0
        # RoBERTa and its kin count places from behind the padding token's id.
        roberta = "roberta" in str(config.get("model_type", ""))
        return places - int(config.get("pad_token_id") or 1) - 1 if roberta else places

    @property
    def padding_id(self) -> int:
        """The token that fills short rows. Which one does not matter under a mask, but it must exist."""
        padding = self._settings["config.json"].get("pad_token_id")
        return padding if isinstance(padding, int) else 0

    def prompt(self, *names: str) -> str:
        """What stands before texts of a kind, under the first of these names that the folder knows."""
        prompts = self._settings["config_sentence_transformers.json"].get("prompts")
        if isinstance(prompts, dict):
            for name in names:
                if isinstance(prompts.get(name), str):
                    return str(prompts[name])
        return ""

    def digest(self) -> str:
        """Hash what decides a vector: SHA-256 over the model, its weights in other files, and the tokenizer.

        Reads every byte; blocks.
        """
        digest = hashlib.sha256()
        weights = sorted(self.model.parent.glob(f"{self.model.name}_data*"))
        weights += sorted(self.model.parent.glob(f"{self.model.name}.data*"))
        for file in (self.model, *weights, self.tokenizer):
            digest.update(f"{file.name} {file.stat().st_size}\n".encode())
            with file.open("rb") as opened:
                while block := opened.read(_READ_AT_ONCE):
                    digest.update(block)
        return digest.hexdigest()


_SETTINGS: Final = (
    "config.json",
    "tokenizer_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
)


def _model_file(path: Path, model: str) -> Path:
    if model:
        if not (path / model).is_file():
            raise ModelFault(f"{str(path)!r} has no file {model!r}")
        return path / model
    for name in _MODEL_FILES:
        if (path / name).is_file():
            return path / name
    found = sorted(path.glob("*.onnx"))
    if len(found) != 1:
        has = ", ".join(each.name for each in found) or "none"
        raise ModelFault(f"{str(path)!r} has no model.onnx; say `file=` for one of its ONNX files: {has}")
    return found[0]


def _json(file: Path) -> dict[str, Any]:
    """Read one of the small files, empty where it is not there. A list is under "list"."""
    if not file.is_file():
        return {}
    try:
        read = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ModelFault(f"{str(file)!r} is no JSON") from error
    return read if isinstance(read, dict) else {"list": read}

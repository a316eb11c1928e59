"""What making a model of any kind takes: extras looked for, keys read, and what is to be done later.

`rag_grpc.model_set` makes embedders and re-rankers, `rag_grpc.judge_choice` makes judges.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from rag_grpc.environment import Secret, SettingsFault
from rag_grpc.model_spec import ModelSpec
from rag_grpc.onnx_models.folder import ModelFault
from rag_grpc.settings import Settings

T = TypeVar("T")

_ONNX: Final = ("fastembed", ("onnxruntime", "tokenizers"))
_EXTRAS: Final = {"fastembed": _ONNX, "nli": _ONNX, "openai": ("openai", ("openai",))}
"""For each kind of adapter: its extra, and the packages of it that are imported."""


@dataclass(frozen=True, slots=True)
class Loading:
    """A model that has to be read: the setting that names it, its name there, and what reads it."""

    variable: str
    name: str
    load: Callable[[], None]

    def __call__(self) -> None:
        """Read it. Raises SettingsFault, that says which setting named it."""
        try:
            self.load()
        except ModelFault as fault:
            raise SettingsFault([f"{self.variable}: {self.name}: {fault}"]) from fault


class ModelMaking:
    """The settings that models share, and lists of what must be loaded and closed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.loads: list[Loading] = []
        self.closes: list[Callable[[], None]] = []

    def threads(self) -> int:
        """How many threads one call of a model computes on."""
        return self.settings.model_threads or max(1, len(os.sched_getaffinity(0)) // 2)

    def place(self, given: dict[str, Any]) -> tuple[str, str]:
        """Say where a model is served, and with what key: each key is for the place that it was given for."""
        file: Path | None = given.pop("api_key_file", None)
        if "base_url" in given:
            key = _key(file) if file else ""
            return given.pop("base_url"), key
        place, key = self.settings.openai_base_url, self.settings.openai_api_key
        if file:
            key = _key(file)
        if not key and urlsplit(place).hostname == "api.openai.com":
            raise ValueError("RAG_OPENAI_API_KEY is not set, without which OpenAI answers nothing")
        return place, key


def kind_of(spec: ModelSpec, kinds: Mapping[str, Callable[[ModelSpec], T]]) -> Callable[[ModelSpec], T]:
    """Find what makes a kind of adapter, and whether what it imports is installed."""
    if spec.kind not in kinds or not spec.target:
        example = f"{spec.name}={next(iter(kinds))}:TARGET"
        raise ValueError(f"there is no kind {spec.kind!r}; there is {', '.join(kinds)}: {example}")
    extra, packages = _EXTRAS.get(spec.kind, ("", ()))
    missing = [each for each in packages if importlib.util.find_spec(each) is None]
    if missing:
        raise ValueError(
            f"{', '.join(missing)} is not installed, which the kind {spec.kind!r} needs:"
            f" pip install 'rag-grpc[{extra}]'"
        )
    return kinds[spec.kind]


def _key(file: Path) -> Secret:
    try:
        return Secret(file.read_text("utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the key cannot be read from {str(file)!r}: {type(error).__name__}") from None

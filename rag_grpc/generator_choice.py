"""The generators that settings can name: the one module, beside `model_set`, that names their adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.model_ports import Generator
from rag_grpc.environment import flag, url, whole
from rag_grpc.generators.extractive import ExtractiveGenerator
from rag_grpc.generators.prompt import CharacterRuler, Ruler, TokenRuler
from rag_grpc.model_making import ModelMaking, kind_of
from rag_grpc.model_spec import ModelSpec

EXTRACTIVE = "extractive"
"""The one generator that a setting can name by its name alone."""

_OPTIONS: Final = {
    "base_url": url,
    "api_key_file": lambda value: Path(value).expanduser(),
    "context_tokens": whole(1024, 10_000_000),
    "max_output_tokens": whole(1, 1_000_000),
    "tokenizer": lambda value: Path(value).expanduser(),
    "fixed_temperature": flag,
}


class GeneratorChoice:
    """Makes generators of what the setting RAG_GENERATORS says."""

    def __init__(self, making: ModelMaking, analyzer: Analyzer) -> None:
        self._making = making
        self._analyzer = analyzer

    def make(self, spec: ModelSpec) -> Generator:
        """Make one. Raises ValueError or ModelFault that says what would be right."""
        if spec.target:
            return kind_of(spec, {"openai": self._openai})(spec)
        if spec.kind != EXTRACTIVE:
            raise ValueError(f"there is no {spec.kind!r}; there is {EXTRACTIVE}")
        threshold = self._making.settings.grounding_threshold
        return ExtractiveGenerator(spec.name, self._analyzer, threshold=threshold)

    def _openai(self, spec: ModelSpec) -> Generator:
        from rag_grpc.generators.openai import ChatOptions, OpenAIGenerator  # noqa: PLC0415 # of an extra

        settings, given = self._making.settings, spec.read(_OPTIONS)
        base_url, api_key = self._making.place(given)
        options = ChatOptions(
            base_url=base_url,
            api_key=api_key,
            ruler=_ruler(given),
            wait=settings.openai_timeout,
            timeout=settings.answer_timeout,
            retries=settings.openai_retries,
            **given,
        )
        generator = OpenAIGenerator(spec.name, spec.target, options)
        self._making.closes.append(generator.close)
        return generator


def _ruler(given: dict[str, Any]) -> Ruler:
    """Take what measures texts out of the options: the model's own tokenizer where its file is named."""
    file: Path | None = given.pop("tokenizer", None)
    if file is None:
        return CharacterRuler()
    from rag_grpc.onnx_models.tokens import ModelTokenizer  # noqa: PLC0415 # of an extra

    return TokenRuler(ModelTokenizer(file, max_length=1 << 30))

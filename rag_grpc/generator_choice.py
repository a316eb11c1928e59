"""The generators that settings can name: the one module, beside `model_set`, that names their adapters."""

from __future__ import annotations

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.model_ports import Generator
from rag_grpc.generators.extractive import ExtractiveGenerator
from rag_grpc.model_making import ModelMaking
from rag_grpc.model_spec import ModelSpec

EXTRACTIVE = "extractive"
"""The one generator that a setting can name by its name alone."""


class GeneratorChoice:
    """Makes generators of what the setting RAG_GENERATORS says."""

    def __init__(self, making: ModelMaking, analyzer: Analyzer) -> None:
        self._making = making
        self._analyzer = analyzer

    def make(self, spec: ModelSpec) -> Generator:
        """Make one. Raises ValueError that says what would be right."""
        if spec.target or spec.kind != EXTRACTIVE:
            raise ValueError(f"there is no {spec.kind!r}; there is {EXTRACTIVE}")
        return ExtractiveGenerator(
            spec.name, self._analyzer, threshold=self._making.settings.grounding_threshold
        )

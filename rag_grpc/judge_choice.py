"""The judges that settings can name: the one module, beside `model_set`, that names their adapters."""

from __future__ import annotations

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.model_ports import Judge
from rag_grpc.judges.lexical import LexicalJudge
from rag_grpc.model_making import ModelMaking, kind_of
from rag_grpc.model_spec import ModelSpec

LEXICAL = "lexical"
"""The one judge that a setting can name by its name alone."""


class JudgeChoice:
    """Makes judges of what the setting RAG_JUDGES says."""

    def __init__(self, making: ModelMaking, analyzer: Analyzer) -> None:
        self._making = making
        self._analyzer = analyzer

    def make(self, spec: ModelSpec) -> Judge:
        """Make one. Raises ValueError or ModelFault that says what would be right."""
        if not spec.target:
            if spec.kind != LEXICAL:
                raise ValueError(f"there is no {spec.kind!r}; there is {LEXICAL}")
            return LexicalJudge(spec.name, self._analyzer)
        return kind_of(spec, {LEXICAL: self._lexical})(spec)

    def _lexical(self, spec: ModelSpec) -> Judge:
        spec.read({})
        language = spec.target.lower()
        if not (language.isascii() and language.isalpha() and len(language) == len("en")):
            raise ValueError(f"{spec.target!r} is no language; write a code of ISO 639-1, such as de")
        return LexicalJudge(spec.name, self._analyzer, language=language)

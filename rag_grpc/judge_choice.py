"""The judges that settings can name: the one module, beside `model_set`, that names their adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.model_ports import Judge
from rag_grpc.environment import flag, text, url, whole
from rag_grpc.judges.lexical import LexicalJudge
from rag_grpc.model_making import Loading, ModelMaking, kind_of
from rag_grpc.model_spec import ModelSpec

LEXICAL = "lexical"
"""The one judge that a setting can name by its name alone."""

_NLI_OPTIONS: Final = {"file": text, "max_tokens": whole(16, 1_000_000), "entailment": whole(0, 9)}

_OPENAI_OPTIONS: Final = {
    "base_url": url,
    "api_key_file": lambda value: Path(value).expanduser(),
    "max_batch": whole(1, 256),
    "max_characters": whole(100, 10_000_000),
    "max_output_tokens": whole(16, 1_000_000),
    "fixed_temperature": flag,
}


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
        return kind_of(spec, {LEXICAL: self._lexical, "nli": self._nli, "openai": self._openai})(spec)

    def _lexical(self, spec: ModelSpec) -> Judge:
        spec.read({})
        language = spec.target.lower()
        if not (language.isascii() and language.isalpha() and len(language) == len("en")):
            raise ValueError(f"{spec.target!r} is no language; write a code of ISO 639-1, such as de")
        return LexicalJudge(spec.name, self._analyzer, language=language)

    def _nli(self, spec: ModelSpec) -> Judge:
        from rag_grpc.judges.nli import NliJudge, NliOptions  # noqa: PLC0415 # of an extra

        settings = self._making.settings
        options = NliOptions(
            threads=self._making.threads(), timeout=settings.judge_timeout, **spec.read(_NLI_OPTIONS)
        )
        judge = NliJudge(spec.name, spec.target, options, cache=settings.model_cache)
        judge.check()
        self._making.loads.append(Loading("RAG_JUDGES", spec.name, judge.load))
        return judge

    def _openai(self, spec: ModelSpec) -> Judge:
        from rag_grpc.judges.openai import JudgeOptions, OpenAIJudge  # noqa: PLC0415 # of an extra

        settings, given = self._making.settings, spec.read(_OPENAI_OPTIONS)
        base_url, api_key = self._making.place(given)
        options = JudgeOptions(
            base_url=base_url,
            api_key=api_key,
            timeout=settings.judge_timeout,
            retries=settings.openai_retries,
            **given,
        )
        judge = OpenAIJudge(spec.name, spec.target, options)
        self._making.closes.append(judge.close)
        return judge

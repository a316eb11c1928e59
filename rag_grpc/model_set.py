"""The models that a server has: the one module that names their adapters.

A kind of adapter that needs a library of an extra is imported only where a setting names
it, so that a server without the extra runs, and one with it starts no slower for it.

Making a set reads settings and nothing else; `load` reads the models, in threads, so
that the event loop answers meanwhile that the server is not ready yet.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import structlog

from rag_grpc.analyzers.snowball import SnowballAnalyzer
from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.model_ports import Embedder, Generator, Judge, Reranker
from rag_grpc.embedders.caching import CachingEmbedder
from rag_grpc.embedders.mock import MockEmbedder
from rag_grpc.environment import SettingsFault, flag, one_of, share, text, url, whole
from rag_grpc.generator_choice import GeneratorChoice
from rag_grpc.judge_choice import JudgeChoice
from rag_grpc.model_making import Loading, ModelMaking, kind_of
from rag_grpc.model_spec import ModelSpec
from rag_grpc.onnx_models.folder import ModelFault
from rag_grpc.settings import Settings

log = structlog.get_logger(__name__)

T = TypeVar("T")

EMBEDDERS: dict[str, Callable[[], Embedder]] = {"mock": MockEmbedder}
"""Embedders that a setting names by their name alone."""

_USE: Final = {"query_prefix": text, "passage_prefix": text, "dense_weight": share}
_ONNX_OPTIONS: Final = {"file": text, "max_tokens": whole(8, 1_000_000)}
_FASTEMBED_OPTIONS: Final = {
    **_ONNX_OPTIONS,
    **_USE,
    "pooling": one_of("mean", "cls", "last"),
    "normalize": flag,
}
_OPENAI_OPTIONS: Final = {
    **_USE,
    "dimension": whole(1, 4096),
    "shorten": flag,
    "base_url": url,
    "api_key_file": lambda value: Path(value).expanduser(),
    "max_batch": whole(1, 2048),
    "max_characters": whole(1, 10_000_000),
    "revision": text,
}


class ModelSet:
    """The models of a server by the names that settings give them, the default of each kind first."""

    def __init__(
        self,
        settings: Settings,
        *,
        counted: Callable[[bool], None] = lambda _: None,
        analyzer: Analyzer | None = None,
    ) -> None:
        """Make what the settings name. `counted` is told of each query whether its embedding was cached.

        `analyzer` takes texts apart for those who compare words; without it they get one of their own.

        Raises SettingsFault with all that is wrong.
        """
        self.embedders: dict[str, Embedder] = {}
        self.rerankers: dict[str, Reranker] = {}
        self.generators: dict[str, Generator] = {}
        self.judges: dict[str, Judge] = {}
        self._settings = settings
        self._counted = counted
        self._making = ModelMaking(settings)
        self._faults: list[str] = []
        for each in settings.embedders:
            self._add("RAG_EMBEDDERS", each, self._embedder, self.embedders)
        for each in settings.rerankers:
            self._add("RAG_RERANKERS", each, self._reranker, self.rerankers)
        analyzer = analyzer or SnowballAnalyzer()
        writers = GeneratorChoice(self._making, analyzer)
        for each in settings.generators:
            self._add("RAG_GENERATORS", each, writers.make, self.generators)
        judges = JudgeChoice(self._making, analyzer)
        for each in settings.judges:
            self._add("RAG_JUDGES", each, judges.make, self.judges)
        if self._faults:
            raise SettingsFault(self._faults)

    async def load(self) -> None:
        """Load all models, one after the other, in a thread. Raises SettingsFault."""
        for each in self._making.loads:
            began = time.monotonic()
            await _in_thread(each, f"load-{each.name}")
            log.info("model_loaded", name=each.name, seconds=round(time.monotonic() - began, 3))

    def close(self) -> None:
        """End what models are asked for just now, and their threads. Blocks."""
        for close in self._making.closes:
            close()

    def _add(self, variable: str, text: str, make: Callable[[ModelSpec], T], into: dict[str, T]) -> None:
        name = ""
        try:
            spec = ModelSpec.parse(text)
            name = f"{spec.name}: " if spec.target else ""
            into[spec.name] = make(spec)
        except (ValueError, ModelFault) as fault:
            self._faults.append(f"{variable}: {name}{fault}")

    def _embedder(self, spec: ModelSpec) -> Embedder:
        if not spec.target:
            if spec.kind not in EMBEDDERS:
                raise ValueError(f"there is no {spec.kind!r}; there is {', '.join(EMBEDDERS)}")
            return EMBEDDERS[spec.kind]()
        made = kind_of(spec, {"fastembed": self._fastembed, "openai": self._openai})(spec)
        if not self._settings.query_cache_bytes:
            return made
        return CachingEmbedder(made, max_bytes=self._settings.query_cache_bytes, counted=self._counted)

    def _reranker(self, spec: ModelSpec) -> Reranker:
        return kind_of(spec, {"fastembed": self._cross_encoder})(spec)

    def _fastembed(self, spec: ModelSpec) -> Embedder:
        from rag_grpc.embedders.fastembed import (  # noqa: PLC0415 # of an extra
            EmbedderOptions,
            FastembedEmbedder,
        )

        options = EmbedderOptions(threads=self._making.threads(), **spec.read(_FASTEMBED_OPTIONS))
        embedder = FastembedEmbedder(spec.name, spec.target, options, cache=self._settings.model_cache)
        embedder.check()
        self._making.loads.append(Loading("RAG_EMBEDDERS", spec.name, embedder.load))
        return embedder

    def _cross_encoder(self, spec: ModelSpec) -> Reranker:
        from rag_grpc.rerankers.cross_encoder import (  # noqa: PLC0415 # of an extra
            CrossEncoderOptions,
            CrossEncoderReranker,
        )

        settings = self._settings
        options = CrossEncoderOptions(
            threads=self._making.threads(), timeout=settings.rerank_timeout, **spec.read(_ONNX_OPTIONS)
        )
        reranker = CrossEncoderReranker(spec.name, spec.target, options, cache=settings.model_cache)
        reranker.check()
        self._making.loads.append(Loading("RAG_RERANKERS", spec.name, reranker.load))
        return reranker

    def _openai(self, spec: ModelSpec) -> Embedder:
        from rag_grpc.embedders.openai import (  # noqa: PLC0415 # of an extra
            KNOWN_DIMENSIONS,
            OpenAIEmbedder,
            OpenAIOptions,
        )

        settings, given = self._settings, spec.read(_OPENAI_OPTIONS)
        base_url, api_key = self._making.place(given)
        usual = KNOWN_DIMENSIONS.get(spec.target)
        dimension = given.pop("dimension", usual)
        if dimension is None:
            raise ValueError("say how long its vectors are, as in `?dimension=768`")
        given.setdefault("shorten", usual is not None and dimension != usual)
        embedder = OpenAIEmbedder(
            spec.name,
            spec.target,
            OpenAIOptions(
                base_url=base_url,
                api_key=api_key,
                dimension=dimension,
                timeout=settings.openai_timeout,
                retries=settings.openai_retries,
                **given,
            ),
        )
        self._making.closes.append(embedder.close)
        return embedder


def check_settings(settings: Settings) -> None:
    """Raise SettingsFault where settings name models that are not there. Loads none."""
    ModelSet(settings).close()


async def _in_thread(work: Callable[[], None], name: str) -> None:
    """Run in a thread that ends with the process: a server that is told to stop waits for no download."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error = None
        try:
            work()
        except Exception as raised:  # noqa: BLE001 # raised again where it is waited for
            error = raised
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(tell, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    await done

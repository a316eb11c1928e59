"""Embedding models behind an endpoint that speaks OpenAI's protocol: OpenAI's own, vLLM, Ollama, others.

Nothing that comes back is trusted: the order, the count, the length and every number of
the vectors are checked, and what is wrong is ModelUnavailable, which says what happened
but neither the key nor a text nor a word of the endpoint's answer.

How long a batch may take, and on which thread it is asked for, is `openai_models.asking`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import openai
from numpy.typing import NDArray

from rag_grpc.core.errors import ModelUnavailable
from rag_grpc.openai_models.asking import GaveUp, Unusable, ask_again
from rag_grpc.openai_models.endpoint import AGAIN_IN, headers, make_client
from rag_grpc.openai_models.loop_thread import LoopClosed, LoopThread

VERSION: Final = 1

KNOWN_DIMENSIONS: Final = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}

_NOTHING: Final = "."
"""Sent for a text of white space alone, which endpoints refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIOptions:
    """Where the model is served and how it is asked."""

    base_url: str
    api_key: str = field(default="", repr=False)
    dimension: int
    shorten: bool = False
    """Ask for vectors of `dimension` numbers; else the model gives what it gives."""
    timeout: float = 30.0
    """Seconds for a batch, tries and pauses together."""
    retries: int = 3
    max_batch: int = 64
    max_characters: int = 6000
    """Of each text; what follows is not sent. 8,191 tokens, which OpenAI's models read, in most scripts."""
    revision: str = ""
    """Part of the fingerprint: for an operator to change when the endpoint's model changes under its name."""
    query_prefix: str = ""
    passage_prefix: str = ""
    dense_weight: float = 0.5


class OpenAIEmbedder:
    """An Embedder over one model of one endpoint. It is asked nothing before the first text."""

    max_tokens = 0
    tokenizer = None

    def __init__(self, name: str, model: str, options: OpenAIOptions) -> None:
        self._name = name
        self._model = model
        self._options = options
        self._loop = LoopThread(f"openai-{name}")

    @property
    def name(self) -> str:
        """What a collection calls it."""
        return self._name

    @property
    def dimension(self) -> int:
        """What the settings say; an answer of another length is refused."""
        return self._options.dimension

    @property
    def fingerprint(self) -> str:
        """`openai-<version>-<dimension>-<16 hex>`, over the model's name and all that is sent with a text.

        The address is not in it: the same model may move. Nor can the weights be, which nobody here sees.
        """
        o = self._options
        decided = (VERSION, self._model, o.dimension, o.shorten, o.max_characters, o.revision)
        digest = hashlib.sha256(repr((*decided, o.query_prefix, o.passage_prefix)).encode()).hexdigest()
        return f"openai-{VERSION}-{o.dimension}-{digest[:16]}"

    @property
    def max_batch(self) -> int:
        """Texts of one request."""
        return self._options.max_batch

    @property
    def dense_weight(self) -> float:
        """What the settings say, one half otherwise."""
        return self._options.dense_weight

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages: shape (len(texts), dimension)."""
        return self._embed(texts, self._options.passage_prefix)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed queries, with what the settings put in front of them."""
        return self._embed(texts, self._options.query_prefix)

    def close(self) -> None:
        """End what is asked just now, and the thread."""
        self._loop.close(lambda: self._client.close())  # noqa: PLW0108 # made only where it was used

    @cached_property
    def _client(self) -> openai.AsyncOpenAI:
        options = self._options
        return make_client(options.base_url, options.api_key, timeout=options.timeout / 2)

    def _embed(self, texts: Sequence[str], prefix: str) -> NDArray[np.float32]:
        longest, size = self._options.max_characters, self._options.max_batch
        sent = [(prefix + text)[:longest] if text.strip() else _NOTHING for text in texts]
        vectors = np.empty((len(sent), self.dimension), np.float32)
        for start in range(0, len(sent), size):
            batch = slice(start, start + size)
            vectors[batch] = self._run(self._batch(sent[batch]))
        return vectors

    def _run(self, work: Coroutine[Any, Any, NDArray[np.float32]]) -> NDArray[np.float32]:
        try:
            return self._loop.run(work)
        except LoopClosed:
            raise ModelUnavailable("the server is stopping", retry_after=AGAIN_IN) from None

    async def _batch(self, texts: list[str]) -> NDArray[np.float32]:
        options = self._options

        async def ask() -> NDArray[np.float32]:
            return vectors_of(await self._ask(texts), len(texts), self.dimension)

        try:
            return await ask_again(ask, within=options.timeout, retries=options.retries)
        except GaveUp as error:
            raise self._unavailable(str(error), error.retry_after()) from error

    async def _ask(self, texts: list[str]) -> Any:
        return await self._client.embeddings.create(
            model=self._model,
            input=texts,
            encoding_format="float",
            extra_headers=headers(self._options.api_key),
            dimensions=self._options.dimension if self._options.shorten else openai.omit,
        )

    def _unavailable(self, what: str, retry_after: float | None = None) -> ModelUnavailable:
        return ModelUnavailable(f"the endpoint of embedder {self._name!r} {what}", retry_after=retry_after)


def vectors_of(answer: Any, count: int, dimension: int) -> NDArray[np.float32]:
    """Take the vectors out of an answer, in the order of the texts. Raises Unusable."""
    data = getattr(answer, "data", None)
    if not isinstance(data, list):
        raise Unusable("it holds no list of embeddings")
    if len(data) != count:
        raise Unusable(f"{len(data)} embeddings for {count} texts")
    vectors = np.empty((count, dimension), np.float32)
    places = [getattr(each, "index", None) for each in data]
    if any(type(place) is not int for place in places) or set(places) != set(range(count)):
        raise Unusable("its embeddings are not numbered from 0")
    for place, each in zip(places, data, strict=True):
        try:
            with np.errstate(over="ignore"):
                row = np.asarray(each.embedding, dtype=np.float32)
        except (AttributeError, TypeError, ValueError):
            raise Unusable("an embedding is no list of numbers") from None
        if row.shape != (dimension,):
            raise Unusable(f"an embedding of shape {row.shape} where {dimension} numbers are due")
        if not np.isfinite(row).all() or not row.any():
            raise Unusable("an embedding is zero or not finite")
        vectors[place] = row
    return vectors

"""Embedding models in ONNX, from a folder or by a name that fastembed knows.

An adapter of the port over `rag_grpc.onnx_models`: what is left to do here is to make
one vector of a text's token vectors, and to say in the fingerprint what decided it.
Making the adapter reads nothing; `load` reads the model, once, and blocks for it.

What no option says is taken from the model's folder, then from what is usual.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.catalogue import MAX_DIMENSION
from rag_grpc.core.errors import ModelUnavailable, NotReady
from rag_grpc.onnx_models.folder import ModelFault, ModelFolder, Pooling
from rag_grpc.onnx_models.known import KnownModel, fetch_embedder, is_folder, known_embedder
from rag_grpc.onnx_models.session import Computed, ModelSession
from rag_grpc.onnx_models.tokens import ModelTokenizer, TokenRow

VERSION: Final = 1
"""Raised when the same files and settings come to give other vectors."""

_MAX_BATCH: Final = 16
"""Texts that are embedded in one go. Larger gains nothing on processors, and others wait for it."""
_OUTPUTS: Final = ("sentence_embedding", "last_hidden_state", "token_embeddings")
_PER_TEXT, _PER_TOKEN = 2, 3
"""Axes of an output that is a vector a text already, or one a token."""


@dataclass(frozen=True, slots=True)
class EmbedderOptions:
    """How to use a model; None takes what the model itself says."""

    threads: int = 1
    file: str = ""
    pooling: Pooling | None = None
    normalize: bool | None = None
    max_tokens: int | None = None
    """Tokens that it reads, its own ones included."""
    query_prefix: str | None = None
    passage_prefix: str | None = None
    dense_weight: float = 0.5


@dataclass(frozen=True, slots=True)
class _Loaded:
    session: ModelSession
    tokenizer: ModelTokenizer
    pooling: Pooling
    normalize: bool
    query_prefix: str
    passage_prefix: str
    max_tokens: int
    dimension: int
    fingerprint: str


class FastembedEmbedder:
    """An Embedder over one ONNX model. Everything but `name` raises NotReady until it is loaded."""

    max_batch = _MAX_BATCH

    def __init__(self, name: str, target: str, options: EmbedderOptions, *, cache: Path) -> None:
        """`target` is a folder, or a name that fastembed knows: then `cache` keeps what is fetched."""
        self._name = name
        self._target = target
        self._options = options
        self._cache = cache
        self._model: _Loaded | None = None

    @property
    def name(self) -> str:
        """What a collection calls it."""
        return self._name

    @property
    def dimension(self) -> int:
        """Length of its vectors, as the model made one."""
        return self._loaded.dimension

    @property
    def fingerprint(self) -> str:
        """`onnx-<version>-<dimension>-<16 hex>`: over the model's files and what else decides a vector."""
        return self._loaded.fingerprint

    @property
    def max_tokens(self) -> int:
        """Tokens of a passage that it reads, without its own ones and without a prefix."""
        return self._loaded.max_tokens

    @property
    def tokenizer(self) -> ModelTokenizer:
        """Counts tokens as the model does."""
        return self._loaded.tokenizer

    @property
    def dense_weight(self) -> float:
        """What the settings say, one half otherwise."""
        return self._options.dense_weight

    @property
    def _loaded(self) -> _Loaded:
        if self._model is None:
            raise NotReady(f"the model of embedder {self._name!r} is being loaded")
        return self._model

    def check(self) -> None:
        """Look whether the model is there, or may be fetched, without loading it. Raises ModelFault."""
        if is_folder(self._target):
            ModelFolder.at(Path(self._target).expanduser(), self._options.file)
        else:
            known_embedder(self._target)

    def load(self) -> None:
        """Fetch the model where it is not there, and load it. Blocks. Raises ModelFault."""
        known = None
        path, file = Path(self._target).expanduser(), self._options.file
        if not is_folder(self._target):
            known = known_embedder(self._target)
            path, file = fetch_embedder(known.name, self._cache), file or known.file
        self._model = _load(ModelFolder.at(path, file), known, self._options)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages: shape (len(texts), dimension)."""
        return self._embed(texts, self._loaded.passage_prefix)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed queries, with what the model wants in front of them."""
        return self._embed(texts, self._loaded.query_prefix)

    def _embed(self, texts: Sequence[str], prefix: str) -> NDArray[np.float32]:
        model = self._loaded
        vectors = np.empty((len(texts), model.dimension), np.float32)
        try:
            rows = model.tokenizer.rows([prefix + text for text in texts])
            for part in model.session.run(rows):
                vectors[part.places] = pooled(part, model.pooling, normalize=model.normalize)
        except Exception as error:  # onnxruntime's errors have no common base
            raise ModelUnavailable(f"embedder {self._name!r} failed with {type(error).__name__}") from error
        return vectors


def pooled(part: Computed, pooling: Pooling, *, normalize: bool) -> NDArray[np.float32]:
    """Make one vector a text of what the model made: shape (texts, dimension)."""
    output = part.output
    if output.ndim == _PER_TOKEN:
        if pooling == "cls":
            output = output[:, 0]
        elif pooling == "last":
            output = output[np.arange(len(output)), part.mask.sum(axis=1) - 1]
        else:
            mask = part.mask.astype(np.float32)[:, :, np.newaxis]
            output = (output * mask).sum(axis=1) / mask.sum(axis=1)
    if normalize:
        output = output / np.linalg.norm(output, axis=1, keepdims=True)
    return output


def _load(folder: ModelFolder, known: KnownModel | None, options: EmbedderOptions) -> _Loaded:
    said = known or KnownModel(
        name="",
        file="",
        pooling=folder.pooling or "mean",
        normalize=folder.normalize is not False,
        query_prefix=folder.prompt("query"),
        passage_prefix=folder.prompt("document", "passage"),
    )
    pooling = options.pooling or said.pooling
    normalize = said.normalize if options.normalize is None else options.normalize
    query_prefix = said.query_prefix if options.query_prefix is None else options.query_prefix
    passage_prefix = said.passage_prefix if options.passage_prefix is None else options.passage_prefix
    length = options.max_tokens or folder.max_tokens
    if folder.positions and length > folder.positions:
        raise ModelFault(f"max_tokens={length}: the model has places for {folder.positions}")
    tokenizer = ModelTokenizer(folder.tokenizer, max_length=length)
    room = tokenizer.max_tokens - tokenizer.count(passage_prefix)
    if room < 1 or tokenizer.count(query_prefix) >= tokenizer.max_tokens:
        raise ModelFault(f"max_tokens={length} leave no room for text behind the prefix")
    session = ModelSession(
        folder.model, threads=options.threads, padding_id=folder.padding_id, outputs=_OUTPUTS
    )
    dimension = _dimension(session, tokenizer.rows(["a text of several words"]))
    decided = (VERSION, folder.digest(), pooling, normalize, length, query_prefix, passage_prefix)
    digest = hashlib.sha256(repr(decided).encode()).hexdigest()
    return _Loaded(
        session=session,
        tokenizer=tokenizer,
        pooling=pooling,
        normalize=normalize,
        query_prefix=query_prefix,
        passage_prefix=passage_prefix,
        max_tokens=room,
        dimension=dimension,
        fingerprint=f"onnx-{VERSION}-{dimension}-{digest[:16]}",
    )


def _dimension(session: ModelSession, rows: Sequence[TokenRow]) -> int:
    """Ask the model for a vector: what a file says of its shape may be left open or wrong."""
    try:
        (part,) = session.run(rows)
    except Exception as error:
        raise ModelFault(f"the model cannot be run: {type(error).__name__}") from error
    shape = part.output.shape
    if len(shape) not in (_PER_TEXT, _PER_TOKEN) or not 1 <= shape[-1] <= MAX_DIMENSION:
        raise ModelFault(f"the model's output has the shape {shape}, which is no embedding")
    return int(shape[-1])

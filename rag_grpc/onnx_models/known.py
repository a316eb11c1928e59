"""Models by name: which ones fastembed knows, how each is used, and fetching them.

fastembed keeps the list, the place to fetch from and a cache on disk; what it knows of
pooling lies in the class that it would run a model by. Running is done here, as for a
folder (docs/decisions/0010), so a model needs to be one of the kinds that `_KINDS` has.

Importing fastembed takes a second or two, so that only functions do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rag_grpc.onnx_models.folder import ModelFault, Pooling

_KINDS: Final[Mapping[str, tuple[Pooling, bool]]] = {
    "OnnxTextEmbedding": ("cls", True),
    "PooledEmbedding": ("mean", False),
    "PooledNormalizedEmbedding": ("mean", True),
    "LastTokenNormalizedEmbedding": ("last", True),
}
"""fastembed's classes, each with its pooling and whether it brings vectors to length 1."""

_ASK_WITH: Final = "Represent this sentence for searching relevant passages: "
_PREFIXES: Final[Mapping[str, tuple[str, str]]] = {
    "baai/bge-base-en-v1.5": (_ASK_WITH, ""),
    "baai/bge-large-en-v1.5": (_ASK_WITH, ""),
    "baai/bge-small-en-v1.5": (_ASK_WITH, ""),
    "intfloat/multilingual-e5-large": ("query: ", "passage: "),
    "mixedbread-ai/mxbai-embed-large-v1": (_ASK_WITH, ""),
    "nomic-ai/nomic-embed-text-v1": ("search_query: ", "search_document: "),
    "nomic-ai/nomic-embed-text-v1.5": ("search_query: ", "search_document: "),
    "nomic-ai/nomic-embed-text-v1.5-q": ("search_query: ", "search_document: "),
    "snowflake/snowflake-arctic-embed-l": (_ASK_WITH, ""),
    "snowflake/snowflake-arctic-embed-m": (_ASK_WITH, ""),
    "snowflake/snowflake-arctic-embed-s": (_ASK_WITH, ""),
    "snowflake/snowflake-arctic-embed-xs": (_ASK_WITH, ""),
}
"""What stands before queries and before passages, as each model's page says. fastembed adds none of it."""

NLI_MODELS: Final = (
    "Xenova/nli-deberta-v3-xsmall",
    "Xenova/nli-deberta-v3-small",
    "Xenova/nli-deberta-v3-base",
)
"""ONNX exports of sentence-transformers' cross-encoders, the smallest first."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that fastembed can fetch. For re-rankers, pooling and prefixes say nothing."""

    name: str
    file: str
    pooling: Pooling = "mean"
    normalize: bool = True
    query_prefix: str = ""
    passage_prefix: str = ""


def is_folder(target: str) -> bool:
    """Whether a target means a folder, there or not, rather than a model's name."""
    return target.startswith((".", "/", "~")) or Path(target).is_dir()


def known_embedder(name: str) -> KnownModel:
    """Find an embedding model by its name, whatever its case. Raises ModelFault."""
    from fastembed import TextEmbedding  # noqa: PLC0415 # see above

    for kind in TextEmbedding.EMBEDDINGS_REGISTRY:
        for each in kind._list_supported_models():  # noqa: SLF001 # the public list leaves out the class
            if each.model.lower() != name.lower():
                continue
            if kind.__name__ not in _KINDS:
                raise ModelFault(
                    f"{each.model} is of a kind that is not run here; fetch a text model instead"
                )
            pooling, normalize = _KINDS[kind.__name__]
            query, passage = _PREFIXES.get(name.lower(), ("", ""))
            return KnownModel(each.model, each.model_file, pooling, normalize, query, passage)
    raise ModelFault(f"there is no folder {name!r}, and fastembed knows no embedding model of that name")


def known_reranker(name: str) -> KnownModel:
    """Find a cross-encoder by its name, whatever its case. Raises ModelFault."""
    description = _cross_encoder(name)
    return KnownModel(description.model, description.model_file)


def fetch_embedder(name: str, cache: Path) -> Path:
    """Give the folder of an embedding model, fetched first where the cache lacks it.

    Blocks, for minutes perhaps. Raises ModelFault.
    """
    from fastembed import TextEmbedding  # noqa: PLC0415 # see above

    for kind in TextEmbedding.EMBEDDINGS_REGISTRY:
        for each in kind._list_supported_models():  # noqa: SLF001 # as above
            if each.model.lower() == name.lower():
                return _fetched(kind, each, cache)
    raise ModelFault(f"fastembed knows no embedding model {name!r}")


def fetch_reranker(name: str, cache: Path) -> Path:
    """Give the folder of a cross-encoder, likewise."""
    from fastembed.rerank.cross_encoder import TextCrossEncoder  # noqa: PLC0415 # see above

    return _fetched(TextCrossEncoder, _cross_encoder(name), cache)


def known_nli(name: str) -> KnownModel:
    """Find a model of natural language inference by its name, whatever its case. Raises ModelFault."""
    for known in NLI_MODELS:
        if known.lower() == name.lower():
            return KnownModel(known, "onnx/model.onnx")
    raise ModelFault(
        f"there is no folder {name!r}, and no model is known by that name: {', '.join(NLI_MODELS)}"
    )


def fetch_nli(name: str, cache: Path) -> Path:
    """Give the folder of such a model, likewise. fastembed knows none; its own library fetches them."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 # comes with fastembed, and is slow too

    known = known_nli(name)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return Path(snapshot_download(known.name, cache_dir=cache, allow_patterns=[known.file, "*.json"]))
    except Exception as error:  # network, disk, hub: whatever it is, the model is not there
        raise _not_fetched(known.name, cache, error) from error


def _cross_encoder(name: str) -> Any:
    from fastembed.rerank.cross_encoder import TextCrossEncoder  # noqa: PLC0415 # see above

    for each in TextCrossEncoder._list_supported_models():  # noqa: SLF001 # the public one gives dictionaries
        if each.model.lower() == name.lower():
            return each
    raise ModelFault(f"there is no folder {name!r}, and fastembed knows no cross-encoder of that name")


def _fetched(kind: Any, description: Any, cache: Path) -> Path:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return Path(kind.download_model(description, str(cache)))
    except Exception as error:  # network, disk, hub: whatever it is, the model is not there
        raise _not_fetched(description.model, cache, error) from error


def _not_fetched(model: str, cache: Path, error: Exception) -> ModelFault:
    return ModelFault(
        f"{model} could not be fetched to {str(cache)!r} ({type(error).__name__}); name a folder that holds"
        " it where there is no network"
    )

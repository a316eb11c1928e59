"""Which of the server's embedders serves a collection, and whether it is still the same one."""

from __future__ import annotations

from collections.abc import Mapping

from rag_grpc.core.errors import EmbedderMismatch, NotConfigured
from rag_grpc.core.model_ports import Embedder
from rag_grpc.core.models import Collection


def embedder_named(name: str, embedders: Mapping[str, Embedder]) -> Embedder:
    """Return the server's embedder of that name. Raises NotConfigured."""
    embedder = embedders.get(name)
    if embedder is None:
        has = ", ".join(embedders) or "none at all"
        raise NotConfigured(f"this server has no embedder {name!r}; it has: {has}")
    return embedder


def embedder_of(collection: Collection, embedders: Mapping[str, Embedder]) -> Embedder:
    """Return the embedder that made the collection's vectors.

    Raises NotConfigured where the server lacks it, EmbedderMismatch where the one of that name would make
    other vectors now.
    """
    embedder = embedder_named(collection.embedder, embedders)
    if embedder.fingerprint != collection.embedder_fingerprint:
        raise EmbedderMismatch(
            f"collection {collection.name!r} was written with {collection.embedder!r} as"
            f" {collection.embedder_fingerprint!r}, and the server's is {embedder.fingerprint!r} now:"
            " embed the collection again, or configure the old one",
            metadata={"stored": collection.embedder_fingerprint, "configured": embedder.fingerprint},
        )
    return embedder

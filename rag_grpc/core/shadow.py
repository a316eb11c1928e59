"""The shadow of a collection: the vectors of another embedder, gathered beside the live ones.

A collection that is on its way to another embedder goes on serving with the old
vectors. What the new embedder makes is kept in a shadow, content by content, until
nothing is missing; then the shadow takes over in one step. It survives the process,
so that hours of work are not done twice.

Contents are gathered in order of their keys, and keys only grow: what is written
meanwhile comes at the end, and what was replaced or deleted needs no vector any
more. So nobody has to write to two sides at once for nothing to be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.models import Collection, PreparedChunk


@dataclass(frozen=True, slots=True)
class Target:
    """The embedder that a collection is on its way to."""

    embedder: str
    fingerprint: str
    dimension: int


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A live document as a shadow needs it. `key` is its content's: each replacement has a larger one.

    `embedded` says that its vectors are in the shadow, and only its hashes are of an older `revision`.
    """

    key: int
    revision: int
    doc_id: str
    text: str
    media_type: str
    title: str
    packed_metadata: bytes
    embedding_key: bytes
    chunks: tuple[PreparedChunk, ...]
    embedded: bool


@dataclass(frozen=True, slots=True)
class ShadowContent:
    """What the new embedder changes of a content, as of the `revision` that it was made from.

    `vectors` has shape (chunks, dimension); None for a content that is `embedded` already.
    """

    key: int
    revision: int
    embedding_key: bytes
    content_hash: bytes
    vectors: NDArray[np.float32] | None


class Shadow(Protocol):
    """The shadow of one collection, while somebody works on it. One at a time."""

    async def left(self) -> int:
        """Count the chunks of live documents whose vectors are missing."""

    async def page(self, *, max_chunks: int, max_bytes: int) -> tuple[StoredContent, ...]:
        """Read what is to be done next: contents without vectors, in order of their keys; then old hashes.

        As much as fits: `max_chunks` chunks and `max_bytes` of text, or one content that alone has more.
        Empty where nothing is missing.
        """

    async def keep(self, contents: Sequence[ShadowContent]) -> None:
        """Keep what was made of the last page, or of the first contents of it. All of it or nothing.

        Contents that died meanwhile are passed over. *(embedded)* On disk when this returns. May wait for an
        index that is behind. Must raise StorageFull where there is no room, and nothing is lost then.
        """

    async def swap(self) -> Collection | None:
        """Let the shadow take over: embedder, vectors and hashes of the collection, in one step.

        Must return the collection as it is then, and None, having changed nothing, where anything is missing.
        Searches and writes that come with the `Collection` of before get EmbedderChanged from then on, and
        none is answered with vectors of both. Revisions stay. Once begun, it is not undone by cancelling.
        """


class ShadowStore(Protocol):
    """The part of `ports.Store` that gives collections another embedder."""

    def shadow(self, collection: Collection, target: Target) -> AbstractAsyncContextManager[Shadow]:
        """Work on the shadow of a collection. What was kept for the same target is there still.

        Vectors for another target are discarded. Leaving keeps all that was kept. Must raise EmbedderChanged
        where the collection's embedder is not that of `collection`, StorageFull, NotReady.
        """

    async def discard_shadow(self, collection: Collection) -> None:
        """Forget what was kept for another embedder, if there is something."""

    async def rename_embedder(self, collection: Collection, name: str) -> Collection:
        """Say that the collection's embedder, whose fingerprint stays, is called otherwise now."""

"""The shadow of a collection in the memory store: new vectors and hashes by content key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rag_grpc.core.errors import EmbedderChanged, StorageFault
from rag_grpc.core.models import Collection
from rag_grpc.core.shadow import ShadowContent, StoredContent, Target
from rag_grpc.stores.exact_contents import Contents
from rag_grpc.stores.stored_document import StoredDocument


@dataclass(slots=True)
class Kept:
    """What was kept for a target: the contents whose vectors are there, each with its latest hashes."""

    target: Target
    contents: dict[int, ShadowContent] = field(default_factory=dict)


class ExactShadow:
    """See core.shadow.Shadow. Everything happens between two turns of the event loop."""

    def __init__(self, contents: Contents, kept: Kept, contents_of: Callable[[], Contents]) -> None:
        """`contents_of` applies the writes that wait, and raises CollectionNotFound and NotReady."""
        self._contents = contents
        self._kept = kept
        self._contents_of = contents_of

    async def left(self) -> int:
        """Count the chunks without vectors."""
        self._contents_of()
        return sum(len(each.document.chunks) for each in self._unembedded())

    async def page(self, *, max_chunks: int, max_bytes: int) -> tuple[StoredContent, ...]:
        """Read what is next."""
        self._contents_of()
        page: list[StoredContent] = []
        for stored in (*self._unembedded(), *self._outdated()):
            max_chunks -= len(stored.document.chunks)
            max_bytes -= len(stored.document.text.encode("utf-8", "surrogatepass"))
            if page and min(max_chunks, max_bytes) < 0:
                break
            page.append(_content(stored, embedded=stored.key in self._kept.contents))
        return tuple(page)

    async def keep(self, contents: Sequence[ShadowContent]) -> None:
        """Keep what lives still."""
        live = {each.key for each in self._contents_of().documents.values()}
        for each in contents:
            known = self._kept.contents.get(each.key)
            vectors = each.vectors if known is None else known.vectors
            if vectors is None:
                raise StorageFault("a content without vectors was to be kept")
            if each.key in live:
                self._kept.contents[each.key] = ShadowContent(
                    each.key, each.revision, each.embedding_key, each.content_hash, vectors
                )

    async def swap(self) -> Collection | None:
        """Take over, if nothing is missing."""
        contents = self._contents_of()
        if any(True for _ in (*self._unembedded(), *self._outdated())):
            return None
        contents.take_over(self._kept.target, self._kept.contents)
        return contents.collection

    def _in_order(self) -> list[StoredDocument]:
        return sorted(self._contents.documents.values(), key=lambda each: each.key)

    def _unembedded(self) -> Iterator[StoredDocument]:
        return (each for each in self._in_order() if each.key not in self._kept.contents)

    def _outdated(self) -> Iterator[StoredDocument]:
        kept = self._kept.contents
        return (
            each for each in self._in_order() if each.key in kept and kept[each.key].revision != each.revision
        )


class ExactShadows:
    """What was kept of each collection's shadow, by the collection's id."""

    def __init__(self, contents_of: Callable[[Collection], Contents]) -> None:
        self._contents_of = contents_of
        self._kept: dict[int, Kept] = {}

    @asynccontextmanager
    async def work_on(self, collection: Collection, target: Target) -> AsyncIterator[ExactShadow]:
        """Begin, or go on. Raises CollectionNotFound, EmbedderChanged, NotReady."""
        contents = self._contents_of(collection)
        if contents.collection.embedder_fingerprint != collection.embedder_fingerprint:
            raise EmbedderChanged(collection.name)
        kept = self._kept.get(collection.id)
        if kept is None or kept.target != target:
            kept = self._kept[collection.id] = Kept(target)
        yield ExactShadow(contents, kept, lambda: self._contents_of(collection))
        if contents.collection.embedder_fingerprint == target.fingerprint:
            self.discard(collection)

    def discard(self, collection: Collection) -> None:
        """Forget it."""
        self._kept.pop(collection.id, None)


def _content(stored: StoredDocument, *, embedded: bool) -> StoredContent:
    document = stored.document
    return StoredContent(
        key=stored.key,
        revision=stored.revision,
        doc_id=document.doc_id,
        text=document.text,
        media_type=document.media_type,
        title=document.title,
        packed_metadata=document.packed_metadata,
        embedding_key=document.embedding_key,
        chunks=document.chunks,
        embedded=embedded,
    )

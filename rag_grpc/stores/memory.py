"""A store in memory: exact, and the reference that the others are held to.

It makes every promise of `ports.Store` but those on durability, in the plainest way
that is right: a dict of documents a collection, one matrix of vectors beside it, and
every search compares them all. Writes wait in a queue until the event loop comes
round, so that they can be withdrawn, and then are applied one by one; everything else,
each search by itself, runs between two turns of the loop, so nobody ever sees half a write.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from rag_grpc.core.analysis import Analyzer, PlainAnalyzer
from rag_grpc.core.errors import CollectionExists, CollectionNotFound, NotReady, RagError
from rag_grpc.core.filters import Filter
from rag_grpc.core.models import (
    Chunking,
    Collection,
    CollectionCounts,
    CollectionSpec,
    Document,
    DocumentMatch,
    Metric,
    Outcome,
    Write,
)
from rag_grpc.core.ports import ChunkPage, DocumentPage, MetadataCodec
from rag_grpc.core.searches import Search, SearchResult, WordCounts
from rag_grpc.core.shadow import Shadow, Target
from rag_grpc.core.store_state import CollectionStats, StoreStats, StoreStatus
from rag_grpc.stores.exact_contents import Contents
from rag_grpc.stores.exact_shadow import ExactShadows
from rag_grpc.stores.quality_in_memory import QualityInMemory

SEARCH_SECONDS = 0.005
"""How long searches that came together hold the event loop at a time. One search of many may take longer."""


class MemoryStore:
    """Keeps everything in memory, and compares every vector. What it kept is gone when it is closed."""

    def __init__(
        self,
        *,
        codec: MetadataCodec,
        analyzer: Analyzer | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Begin empty. Without an analyzer, words are compared as they stand, whatever their language."""
        self._codec = codec
        self._analyzer = analyzer or PlainAnalyzer()
        self._clock = clock
        self._status = StoreStatus(False, False, "not opened yet", "not opened yet")
        self._listeners: list[Callable[[StoreStatus], None]] = []
        self._by_name: dict[str, Contents] = {}
        self._by_id: dict[int, Contents] = {}
        self._queue: deque[tuple[Write, asyncio.Future[Outcome]]] = deque()
        self._shadows = ExactShadows(self._contents_now)
        self.quality = QualityInMemory(self._check_open)
        self._numbers = itertools.count(1)
        """Revisions and ids of collections: one count for all, so that none is used twice."""

    @property
    def name(self) -> str:
        """What GetServerInfo calls it."""
        return "memory"

    async def open(self) -> None:
        """Begin to serve; there is nothing to load."""
        self._change(StoreStatus(can_read=True, can_write=True))

    async def close(self) -> None:
        """Finish the writes that wait, and serve nothing more."""
        self._drain()
        self._change(StoreStatus(False, False, "closed", "closed"))
        self._by_name.clear()
        self._by_id.clear()

    def status(self) -> StoreStatus:
        """What works now."""
        return self._status

    def subscribe(self, listener: Callable[[StoreStatus], None]) -> None:
        """Call `listener` after each change of `status`."""
        self._listeners.append(listener)

    def stats(self) -> StoreStats:
        """Counts for dashboards; everything here is read in single steps, so any thread may ask."""
        collections = tuple(
            CollectionStats(each.collection.name, documents=len(each.documents), chunks=each.chunks)
            for each in list(self._by_name.values())
        )
        return StoreStats(collections, writes_waiting=len(self._queue))

    # -- collections

    async def create_collection(self, spec: CollectionSpec, fingerprint: str) -> Collection:
        """Make a collection. Raises CollectionExists."""
        self._check_open()
        if spec.name in self._by_name:
            raise CollectionExists(f"there is a collection {spec.name!r} already")
        collection = Collection(
            id=next(self._numbers),
            uid=uuid.uuid4().hex,
            name=spec.name,
            embedder=spec.embedder,
            embedder_fingerprint=fingerprint,
            dimension=spec.dimension,
            metric=spec.metric or Metric.COSINE,
            chunking=spec.chunking or Chunking(),
            language=spec.language,
            create_time=self._clock(),
        )
        self._by_name[spec.name] = self._by_id[collection.id] = Contents(
            collection, numbers=self._numbers, codec=self._codec, analyzer=self._analyzer, clock=self._clock
        )
        return collection

    def collection(self, name: str) -> Collection:
        """Look a collection up. Raises CollectionNotFound."""
        self._check_open()
        contents = self._by_name.get(name)
        if contents is None:
            raise CollectionNotFound(name)
        return contents.collection

    def counts(self, collection: Collection) -> CollectionCounts:
        """How much is in it."""
        contents = self._contents(collection)
        return CollectionCounts(documents=len(contents.documents), chunks=contents.chunks)

    def collections(self) -> list[Collection]:
        """All collections, by name."""
        self._check_open()
        return [self._by_name[name].collection for name in sorted(self._by_name)]

    async def delete_collection(self, collection: Collection) -> None:
        """Remove it. Writes to it that wait find it gone. Raises CollectionNotFound."""
        self._contents(collection)
        self._shadows.discard(collection)
        del self._by_id[collection.id]
        del self._by_name[collection.name]

    def shadow(self, collection: Collection, target: Target) -> AbstractAsyncContextManager[Shadow]:
        """Work on the shadow of a collection."""
        return self._shadows.work_on(collection, target)

    async def discard_shadow(self, collection: Collection) -> None:
        """Forget what was kept for another embedder."""
        self._contents(collection)
        self._shadows.discard(collection)

    async def rename_embedder(self, collection: Collection, name: str) -> Collection:
        """Call the collection's embedder otherwise."""
        contents = self._contents(collection)
        contents.collection = replace(contents.collection, embedder=name)
        return contents.collection

    # -- writes

    def submit(self, write: Write) -> asyncio.Future[Outcome]:
        """Take a write into the queue; it is applied when the event loop comes round."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        try:
            self._check_open()
        except NotReady as error:
            future.set_exception(error)
            return future
        if not self._queue:
            loop.call_soon(self._drain)
        self._queue.append((write, future))
        return future

    def _drain(self) -> None:
        while self._queue:
            write, future = self._queue.popleft()
            if future.cancelled():
                continue
            try:
                future.set_result(self._contents(write.collection).apply(write))
            except Exception as error:  # noqa: BLE001 - whoever holds the future is told, the rest goes on
                future.set_exception(error)

    # -- reads

    async def search(self, searches: Sequence[Search]) -> list[SearchResult | RagError]:
        """Answer searches, each by itself and each of one moment; the loop has its turn between them."""
        self._check_open()
        results: list[SearchResult | RagError] = []
        held_from = time.monotonic()
        for search in searches:
            if time.monotonic() - held_from > SEARCH_SECONDS:
                await asyncio.sleep(0)
                held_from = time.monotonic()
            try:
                results.append(self._contents(search.collection).search(search))
            except RagError as error:
                results.append(error)
        return results

    async def word_counts(self, collection: Collection, terms: Sequence[str]) -> WordCounts:
        """In how many chunks each term stands."""
        contents = self._contents(collection)
        return WordCounts(contents.chunks, contents.words.counts(terms))

    async def index_recall(
        self, collection: Collection, places: Sequence[float], *, top_k: int, ef: int
    ) -> list[float]:
        """Every search is exact: whatever chunk it is, all of its neighbours are found."""
        del top_k, ef
        return [1.0] * len(places) if self._contents(collection).chunks else []

    async def embedding_key(self, collection: Collection, doc_id: str) -> bytes | None:
        """The stored document's embedding key."""
        stored = self._contents(collection).documents.get(doc_id)
        return None if stored is None else stored.document.embedding_key

    async def documents(
        self, collection: Collection, doc_ids: Sequence[str], *, include_text: bool
    ) -> list[Document | None]:
        """Read documents by id."""
        documents = self._contents(collection).documents
        found = [documents.get(doc_id) for doc_id in doc_ids]
        return [None if each is None else each.read(include_text=include_text) for each in found]

    async def list_documents(
        self,
        collection: Collection,
        *,
        after: str | None,
        limit: int,
        include_text: bool,
        max_bytes: int,
        filter: Filter | None = None,  # noqa: A002 - the contract's word
    ) -> DocumentPage:
        """Read a page of documents."""
        return self._contents(collection).list_documents(
            after=after, limit=limit, include_text=include_text, max_bytes=max_bytes, passing=filter
        )

    async def count_documents(self, collection: Collection, filter: Filter | None) -> int:  # noqa: A002
        """Count the documents that pass."""
        return sum(1 for _ in self._contents(collection).passing(filter))

    async def list_chunks(
        self,
        collection: Collection,
        doc_id: str,
        *,
        first: int,
        limit: int,
        include_vectors: bool,
        max_bytes: int,
    ) -> ChunkPage:
        """Read a page of chunks. Raises DocumentNotFound."""
        return self._contents(collection).list_chunks(
            doc_id, first=first, limit=limit, include_vectors=include_vectors, max_bytes=max_bytes
        )

    async def matches(self, collection: Collection, filter: Filter | None) -> list[DocumentMatch]:  # noqa: A002
        """Every document that passes, and the revision of its content."""
        return [
            DocumentMatch(each.document.doc_id, each.content_revision)
            for each in self._contents(collection).passing(filter)
        ]

    # -- within

    def _contents(self, collection: Collection) -> Contents:
        self._check_open()
        contents = self._by_id.get(collection.id)
        if contents is None:
            raise CollectionNotFound(collection.name)
        return contents

    def _contents_now(self, collection: Collection) -> Contents:
        self._drain()
        return self._contents(collection)

    def _check_open(self) -> None:
        if not self._status.can_read:
            raise NotReady(f"the store is {self._status.read_reason}")

    def _change(self, status: StoreStatus) -> None:
        self._status = status
        for listener in self._listeners:
            listener(status)

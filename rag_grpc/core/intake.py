"""The documents of one message on their way into the store, through their lanes.

Documents that come with their vectors are prepared and submitted in sweeps, without a
task of their own: that is the way on which a corpus is loaded. The others are split and
embedded each in a task, and join the store's queue when it is their turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import NotReady, RagError, StorageFault
from rag_grpc.core.lanes import Ticket
from rag_grpc.core.loop_steps import LoopSteps, parted
from rag_grpc.core.models import (
    Collection,
    DocumentDraft,
    Outcome,
    PreparedChunk,
    PreparedDocument,
    PutDocument,
    PutOutcome,
    VectorsNeeded,
)
from rag_grpc.core.ports import Store, Telemetry
from rag_grpc.core.preparation import (
    Workshop,
    has_ready_vectors,
    identify,
    make_chunks,
    prepare_ready,
    texts_to_embed,
)

_SHORT_TEXT = 4_000
"""Characters that are split where we stand: that takes less than going to a thread and back."""

_Result = TypeVar("_Result")


class IngestItem(NamedTuple):
    """A document to store, and on what condition: `expected_revision` 0 means that it must not exist."""

    document: DocumentDraft
    expected_revision: int | None = None


Place: TypeAlias = tuple[IngestItem | RagError, Ticket | None]
"""An item and its ticket; what was wrong from the start has none."""


class Intake:
    """Takes messages in."""

    def __init__(
        self,
        *,
        store: Store,
        workshop: Workshop,
        embedding: EmbeddingQueue,
        telemetry: Telemetry,
        steps: LoopSteps,
    ) -> None:
        self._store = store
        self._workshop = workshop
        self._embedding = embedding
        self._telemetry = telemetry
        self._steps = steps

    async def take(self, collection: Collection, places: Sequence[Place]) -> list[PutOutcome | RagError]:
        """Store what stands in `places`; for each what became of it.

        Cancelling withdraws what the store has not begun. Whoever took the tickets releases them in the
        end: those of documents that were submitted in a sweep are kept until all is answered.
        """
        under_way: list[asyncio.Future[Outcome] | RagError] = []
        try:
            for part, share in parted(places, sum(_size_of(item) for item, _ in places)):
                if len(places) > 1:
                    await self._steps.next(share)
                under_way += self._sweep(collection, part)
            if futures := [each for each in under_way if not isinstance(each, RagError)]:
                await asyncio.wait(futures)
        except BaseException:
            futures = [each for each in under_way if not isinstance(each, RagError)]
            for future in futures:
                future.cancel()
            await asyncio.gather(*futures, return_exceptions=True)
            raise
        return [_outcome(each) for each in under_way]

    def _sweep(
        self, collection: Collection, places: Sequence[Place]
    ) -> list[asyncio.Future[Outcome] | RagError]:
        collection = self._as_it_is(collection)
        ready = [not isinstance(item, RagError) and has_ready_vectors(item.document) for item, _ in places]
        drafts = [
            item.document
            for (item, _), is_ready in zip(places, ready, strict=True)
            if is_ready and not isinstance(item, RagError)
        ]
        prepared = iter(prepare_ready(drafts, collection, self._workshop))
        under_way: list[asyncio.Future[Outcome] | RagError] = []
        for (item, ticket), is_ready in zip(places, ready, strict=True):
            if isinstance(item, RagError) or ticket is None:
                under_way.append(item if isinstance(item, RagError) else StorageFault("no ticket was taken"))
            elif is_ready:
                under_way.append(self._put_ready(collection, item, ticket, next(prepared)))
            else:
                under_way.append(asyncio.ensure_future(self._embed_and_put(collection, item, ticket)))
        return under_way

    def _put_ready(
        self, collection: Collection, item: IngestItem, ticket: Ticket, prepared: PreparedDocument | RagError
    ) -> asyncio.Future[Outcome] | RagError:
        if isinstance(prepared, RagError):
            ticket.release()
            return prepared
        put = PutDocument(collection, prepared, item.expected_revision)
        if not ticket.ready:
            return asyncio.ensure_future(self._put_in_turn(put, item, ticket))
        future = self._store.submit(put)
        ticket.join()
        return future

    async def _put_in_turn(self, put: PutDocument, item: IngestItem, ticket: Ticket) -> Outcome:
        """Put a document that came with its vectors when it is its turn."""
        try:
            await ticket.turn()
            collection = self._as_it_is(put.collection)
            if collection.embedder_fingerprint != put.collection.embedder_fingerprint:
                (prepared,) = prepare_ready([item.document], collection, self._workshop)
                if isinstance(prepared, RagError):
                    raise prepared
                put = PutDocument(collection, prepared, item.expected_revision)
            future = self._store.submit(put)
            ticket.join()
            return await future
        finally:
            ticket.release()

    async def _embed_and_put(self, collection: Collection, item: IngestItem, ticket: Ticket) -> Outcome:
        try:
            outcome = None
            while outcome is None:
                outcome = await self._try_to_put(self._as_it_is(collection), item, ticket)
            return outcome
        finally:
            ticket.release()

    async def _try_to_put(self, collection: Collection, item: IngestItem, ticket: Ticket) -> Outcome | None:
        """Embed and put; None where the collection has another embedder when it is the document's turn.

        From its turn until the put is answered nobody can change that, who waits for the lanes.
        """
        draft = item.document
        document = await self._in_thread_if_long(draft, lambda: identify(draft, collection, self._workshop))
        if ticket.quiet and await self._is_stored(collection, document):
            # The ticket does not join before this is answered: if the document is removed in the
            # meantime, the put that follows must still come before whatever comes later.
            outcome = await self._store.submit(PutDocument(collection, document, item.expected_revision))
            if not isinstance(outcome, VectorsNeeded):
                return outcome
        document = await self._embedded(collection, draft, document)
        await ticket.turn()
        if self._as_it_is(collection).embedder_fingerprint != collection.embedder_fingerprint:
            return None
        future = self._store.submit(PutDocument(collection, document, item.expected_revision))
        ticket.join()
        return await future

    def _as_it_is(self, collection: Collection) -> Collection:
        """Look a collection up again: it may have got another embedder. One that is gone stays as it was."""
        try:
            current = self._store.collection(collection.name)
        except RagError:
            return collection
        return current if current.id == collection.id else collection

    async def _is_stored(self, collection: Collection, document: PreparedDocument) -> bool:
        stored = await self._store.embedding_key(collection, document.doc_id)
        return stored == document.embedding_key

    async def _embedded(
        self, collection: Collection, draft: DocumentDraft, document: PreparedDocument
    ) -> PreparedDocument:
        begin = time.perf_counter()
        if self._workshop.embedders[collection.embedder].max_tokens:
            # Counting tokens takes a hundred times as long as splitting by characters.
            chunks, texts = await asyncio.to_thread(self._chunks, collection, draft)
        else:
            chunks, texts = await self._in_thread_if_long(draft, lambda: self._chunks(collection, draft))
        self._telemetry.stage("split", time.perf_counter() - begin)
        vectors = await self._embedding.embed(collection.embedder, texts)
        return document._replace(chunks=chunks, vectors=vectors)

    def _chunks(
        self, collection: Collection, draft: DocumentDraft
    ) -> tuple[tuple[PreparedChunk, ...], list[str]]:
        chunks = make_chunks(draft, collection, self._workshop)
        return chunks, texts_to_embed(draft, chunks, collection, self._workshop)

    async def _in_thread_if_long(self, draft: DocumentDraft, work: Callable[[], _Result]) -> _Result:
        return await asyncio.to_thread(work) if len(draft.text) > _SHORT_TEXT else work()


def _size_of(item: IngestItem | RagError) -> int:
    """Say how many bytes there are to hash, or so."""
    if isinstance(item, RagError):
        return 0
    document = item.document
    vectors = sum(4 * len(each.vector) for each in document.chunks if each.vector is not None)
    return len(document.text) + vectors


def _outcome(future: asyncio.Future[Outcome] | RagError) -> PutOutcome | RagError:
    if isinstance(future, RagError):
        return future
    if future.cancelled():
        return NotReady("the write was withdrawn")
    error = future.exception()
    if isinstance(error, RagError):
        return error
    outcome = future.result()
    if isinstance(outcome, PutOutcome):
        return outcome
    return StorageFault(f"the store answered a document with {type(outcome).__name__}")

"""How documents come in, change and go: the use cases behind IngestionService.

A write takes its tickets before anything is awaited, so it has its place behind what
came earlier on the same stream, and before what comes later; see `lanes`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from rag_grpc.core import filter_language
from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import RagError, StorageFault
from rag_grpc.core.intake import IngestItem, Intake
from rag_grpc.core.lanes import Lanes, Ticket
from rag_grpc.core.limits import Limits
from rag_grpc.core.loop_steps import LoopSteps
from rag_grpc.core.model_ports import Embedder, Splitter
from rag_grpc.core.models import (
    DEFAULT_COLLECTION,
    Collection,
    DeleteMatches,
    DeleteOutcome,
    DeleteRefs,
    DocumentRef,
    MetadataDict,
    PatchMetadata,
    PatchOutcome,
    PutOutcome,
    Write,
)
from rag_grpc.core.ports import MetadataCodec, Store, Telemetry
from rag_grpc.core.precedence import Precedence
from rag_grpc.core.preparation import Workshop

__all__ = ["IngestItem", "Ingestion"]

_DELETE_SLICE = 1_000
"""Documents that one write removes, so that other writes are not held up."""

_Answer = TypeVar("_Answer", PatchOutcome, DeleteOutcome)


class Ingestion:
    """Takes, changes and removes documents."""

    def __init__(
        self,
        *,
        store: Store,
        embedders: Mapping[str, Embedder],
        splitter: Splitter,
        codec: MetadataCodec,
        limits: Limits,
        lanes: Lanes,
        embedding: EmbeddingQueue,
        telemetry: Telemetry,
        precedence: Precedence | None = None,
    ) -> None:
        """Name what is needed. `steps` then gives turns of the loop to whoever converts documents, too."""
        self.steps = LoopSteps(precedence or Precedence())
        self._store = store
        self._limits = limits
        self._lanes = lanes
        self._intake = Intake(
            store=store,
            workshop=Workshop(embedders, splitter, codec, limits),
            embedding=embedding,
            telemetry=telemetry,
            steps=self.steps,
        )

    def ingest(
        self, collection: str, items: Sequence[IngestItem | RagError]
    ) -> asyncio.Task[list[PutOutcome | RagError]]:
        """Store documents; for each item what became of it. Errors pass through.

        Not a coroutine: the items have their places in their lanes when this returns. Await the task;
        cancelling it withdraws what the store has not begun. Raises CollectionNotFound at once.
        """
        where = self._collection(collection)
        places = [
            (item, None if isinstance(item, RagError) else self._lanes.ticket(where.id, item.document.doc_id))
            for item in items
        ]
        # A callback, and not `finally` in the coroutine: a task that is cancelled before its first step
        # runs none of its code.
        task = asyncio.get_running_loop().create_task(self._intake.take(where, places))
        task.add_done_callback(lambda _: _release(ticket for _, ticket in places if ticket is not None))
        return task

    async def update_metadata(
        self,
        collection: str,
        doc_id: str,
        patch: MetadataDict,
        *,
        replace: bool,
        expected_revision: int | None,
    ) -> PatchOutcome:
        """Merge a patch into a document's metadata, or replace it.

        Raises CollectionNotFound, DocumentNotFound, RevisionMismatch, LimitExceeded, StorageFull.
        """
        where = self._collection(collection)
        write = PatchMetadata(
            where,
            doc_id,
            patch,
            replace=replace,
            expected_revision=expected_revision,
            max_packed_bytes=self._limits.max_metadata_bytes,
        )
        async with self._turns(where, [doc_id]) as tickets:
            return await self._written(write, PatchOutcome, tickets)

    async def delete_refs(
        self, collection: str, refs: Sequence[DocumentRef], *, validate_only: bool
    ) -> DeleteOutcome:
        """Remove these documents, all of them or, where an expected revision does not hold, none.

        Raises CollectionNotFound, RevisionMismatch.
        """
        where = self._collection(collection)
        write = DeleteRefs(where, tuple(refs), validate_only=validate_only)
        # Each lane once: a second ticket of a lane would wait for the first, which waits for it.
        async with self._turns(where, dict.fromkeys(each.doc_id for each in refs)) as tickets:
            return await self._written(write, DeleteOutcome, tickets)

    async def delete_matching(
        self, collection: str, filter_text: str, *, validate_only: bool
    ) -> DeleteOutcome:
        """Remove every document that came before this call and passes a filter; the empty one passes all.

        What matches is settled behind a barrier; then slices of it are removed while other writes go on,
        and a document that gets new content in between stays. Raises CollectionNotFound, InvalidFilter.
        """
        passing = filter_language.parse(filter_text)
        where = self._collection(collection)
        async with self._lanes.barrier(where.id):
            # The store applies writes in order. So when it has answered this one, which does nothing, it
            # has also done what was begun for a caller who left, and whose tickets were released.
            await self._written(DeleteRefs(where, (), validate_only=True), DeleteOutcome)
            matches = await self._store.matches(where, passing)
        deleted = 0
        if not validate_only:
            for begin in range(0, len(matches), _DELETE_SLICE):
                write = DeleteMatches(where, tuple(matches[begin : begin + _DELETE_SLICE]))
                deleted += (await self._written(write, DeleteOutcome)).deleted
        return DeleteOutcome(matched=len(matches), deleted=deleted)

    def _collection(self, name: str) -> Collection:
        return self._store.collection(name or DEFAULT_COLLECTION)

    @asynccontextmanager
    async def _turns(self, collection: Collection, doc_ids: Iterable[str]) -> AsyncIterator[list[Ticket]]:
        """Take tickets for documents, at once; wait for their turns; release them at the end of the block."""
        tickets = [self._lanes.ticket(collection.id, doc_id) for doc_id in doc_ids]
        try:
            for ticket in tickets:
                await ticket.turn()
            yield tickets
        finally:
            _release(tickets)

    async def _written(self, write: Write, answer: type[_Answer], tickets: Sequence[Ticket] = ()) -> _Answer:
        future = self._store.submit(write)
        for ticket in tickets:
            ticket.join()
        outcome = await future
        if not isinstance(outcome, answer):
            raise StorageFault(f"the store answered {type(write).__name__} with {type(outcome).__name__}")
        return outcome


def _release(tickets: Iterable[Ticket]) -> None:
    for ticket in tickets:
        ticket.release()

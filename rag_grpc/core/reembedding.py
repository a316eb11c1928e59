"""Giving a collection another embedder while it goes on serving: the use case behind ReembedCollection.

Page after page of what has no new vector is read, embedded and kept in the store's
shadow, while queries and writes go on with the old vectors. What is written meanwhile
comes last, so each round finds less, until so little is left that writes can wait for
it: a barrier over the collection's lanes, the last pages, and the swap.

Where more is written than can be embedded, that moment would never come. Then writes
are made to wait now and then, for as long as it takes to gain a page on them.

The work belongs to those who watch it: several calls for the same target share it, and
when the last of them has left, it stops. What was kept stays, in the store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import structlog
from numpy.typing import NDArray

from rag_grpc.core.chunking import check_countable
from rag_grpc.core.embedder_choice import embedder_named
from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.errors import FieldViolation, InvalidField, ModelUnavailable, NotReady, RagError
from rag_grpc.core.lanes import Lanes
from rag_grpc.core.models import NO_EMBEDDER, Collection
from rag_grpc.core.ports import Store
from rag_grpc.core.preparation import Workshop
from rag_grpc.core.renewal import Renewal
from rag_grpc.core.shadow import Shadow, StoredContent, Target

log = structlog.get_logger(__name__)

FIRST_PAGE, MOST_CHUNKS = 64, 1024
PAGE_BYTES = 8 * 1024 * 1024
PAGE_SECONDS = 2.0
"""About how long a page takes, and so how much of the work a killed server does twice."""
WRITES_WAIT_SECONDS = 1.0
"""About how long writes may have to wait for the last pages."""
PATIENCE = 8
"""Pages after which the work must have gained on what is written meanwhile, or writes are made to wait."""
COUNT_SHARE = 20
"""Counting what is left may take one part in so many of the time."""


@dataclass(slots=True)
class Progress:
    """How far the work is, in chunks. `total` is as of now; None before anything was counted."""

    done: int = 0
    total: int | None = None


@dataclass(slots=True, eq=False)
class Job:
    """One collection on its way to another embedder. `task` gives the collection as it is in the end.

    It belongs to all who watch: wait for it, and never cancel it, which awaiting it would.
    """

    target: Target
    task: asyncio.Task[Collection]
    progress: Progress
    watchers: int = 0


class Reembedding:
    """Gives collections other embedders."""

    def __init__(self, *, store: Store, workshop: Workshop, lanes: Lanes, embedding: EmbeddingQueue) -> None:
        self._store = store
        self._workshop = workshop
        self._lanes = lanes
        self._embedding = embedding
        self._jobs: dict[int, Job] = {}

    @asynccontextmanager
    async def watching(self, name: str, embedder: str) -> AsyncIterator[Job]:
        """Begin the work, or join it where another call does it already; leaving stops it for those alone.

        The job's task raises CollectionNotFound, ModelUnavailable, StorageFull, NotReady. This itself raises
        CollectionNotFound, InvalidField for "none", NotConfigured for an embedder that this server lacks or
        whose tokens it cannot count, NotReady where the collection is on its way to another one.
        """
        collection = self._store.collection(name)
        target = self._target(collection, embedder)
        while (running := self._jobs.get(collection.id)) is not None and running.task.cancelling():
            await asyncio.wait([running.task])
        job = self._job(collection, target)
        job.watchers += 1
        try:
            yield job
        finally:
            job.watchers -= 1
            if not job.watchers:
                job.task.cancel()
                # It lets go of what it holds before anybody can begin it again.
                await asyncio.gather(job.task, return_exceptions=True)

    def _job(self, collection: Collection, target: Target) -> Job:
        running = self._jobs.get(collection.id)
        if running is None:
            progress = Progress()
            task = asyncio.get_running_loop().create_task(self._run(collection, target, progress))
            job = self._jobs[collection.id] = Job(target, task, progress)
            task.add_done_callback(lambda _: self._jobs.pop(collection.id, None))
            return job
        if running.target != target:
            raise NotReady(
                f"collection {collection.name!r} is being embedded again with {running.target.embedder!r}:"
                " wait for that, or stop it",
                retry_after=5.0,
            )
        return running

    def _target(self, collection: Collection, name: str) -> Target:
        if name == NO_EMBEDDER:
            why = f"{NO_EMBEDDER!r} embeds nothing: name one of the server's embedders"
            raise InvalidField.of([FieldViolation("embedder", why)])
        embedder = embedder_named(name, self._workshop.embedders)
        check_countable(collection.chunking, embedder)
        return Target(name, embedder.fingerprint, embedder.dimension)

    async def _run(self, collection: Collection, target: Target, progress: Progress) -> Collection:
        if collection.embedder_fingerprint == target.fingerprint:
            # The same vectors: at most the name is another one.
            await self._store.discard_shadow(collection)
            if collection.embedder == target.embedder:
                return collection
            return await self._store.rename_embedder(collection, target.embedder)
        began = time.monotonic()
        log.info("reembedding_began", collection=collection.name, embedder=target.embedder)
        try:
            async with self._store.shadow(collection, target) as shadow:
                renewal = Renewal(collection, target, self._workshop)
                work = _Work(self._store, self._embedding, shadow, renewal, collection, target, progress)
                after = await self._finish(collection, work)
        except BaseException as error:
            reason = error.message if isinstance(error, RagError) else type(error).__name__
            log.info("reembedding_stopped", collection=collection.name, done=progress.done, reason=reason)
            raise
        log.info(
            "reembedding_done",
            collection=collection.name,
            embedder=target.embedder,
            chunks=work.kept,
            seconds=round(time.monotonic() - began, 1),
        )
        return after

    async def _finish(self, collection: Collection, work: _Work) -> Collection:
        await work.count()
        while True:
            await self._approach(collection, work)
            async with self._lanes.barrier(collection.id):
                await work.down_to(0)
                await work.count()
                after = await work.shadow.swap()
            # What a caller who left had submitted may have come in between: then there is one more round.
            if after is not None:
                return after

    async def _approach(self, collection: Collection, work: _Work) -> None:
        """Embed until little is left, beside all writes as long as that gains on them."""
        while not work.nearly_done:
            mark = work.left
            for _ in range(PATIENCE):
                await work.page()
                if work.nearly_done:
                    return
            await work.count()
            goal = mark - work.page_chunks
            if work.left > goal:
                async with self._lanes.barrier(collection.id):
                    await work.down_to(goal)


@dataclass(slots=True)
class _Work:
    """The pages of one job: how many chunks are left of those that were counted, and how fast they go."""

    store: Store
    embedding: EmbeddingQueue
    shadow: Shadow
    renewal: Renewal
    collection: Collection
    target: Target
    progress: Progress
    left: int = 0
    counted: int = 0
    kept: int = 0
    page_chunks: int = field(default_factory=lambda: FIRST_PAGE)
    nearly_done: bool = False
    """Whether what is left takes no longer than writes may wait."""
    _row_seconds: float = 0.0
    _count_not_before: float = field(default=0.0)

    async def down_to(self, goal: int) -> None:
        """Embed until no more than so many chunks are left, or nothing at all."""
        while await self.page():
            if 0 < self.left <= goal:
                return

    async def page(self) -> bool:
        """Embed and keep one page; return whether there was one."""
        began = time.monotonic()
        if began > self._count_not_before:
            await self.count()
        contents = await self.shadow.page(max_chunks=self.page_chunks, max_bytes=PAGE_BYTES)
        if not contents:
            self.nearly_done = True
            return False
        short = 2 * sum(len(each.chunks) for each in contents) < self.page_chunks
        whole, failure = await self._embedded(contents)
        pairs = list(zip(contents, whole, strict=False))
        await self.shadow.keep(
            await asyncio.to_thread(lambda: [self.renewal.renewed(*each) for each in pairs])
        )
        self._note(sum(len(rows) for rows in whole if rows is not None), time.monotonic() - began)
        if failure is not None:
            raise failure
        self.nearly_done = short and self.left * self._row_seconds < WRITES_WAIT_SECONDS
        return True

    async def count(self) -> None:
        """Count what is left."""
        began = time.monotonic()
        self.left = await self.shadow.left()
        ended = time.monotonic()
        self._count_not_before = ended + max(0.5, COUNT_SHARE * (ended - began))
        # Of the same moment: documents that come until the next count would pass for done.
        self.counted = self.store.counts(self.collection).chunks
        self._tell()

    def _note(self, chunks: int, seconds: float) -> None:
        self.kept += chunks
        self.left = max(0, self.left - chunks)
        if chunks:
            latest = seconds / chunks
            self._row_seconds += (latest - self._row_seconds) * (0.3 if self._row_seconds else 1.0)
            self.page_chunks = max(16, min(MOST_CHUNKS, int(PAGE_SECONDS / self._row_seconds)))
        self._tell()

    def _tell(self) -> None:
        total = self.store.counts(self.collection).chunks
        self.progress.total = total
        self.progress.done = min(total, max(0, self.counted - self.left))

    async def _embedded(
        self, contents: Sequence[StoredContent]
    ) -> tuple[list[NDArray[np.float32] | None], RagError | None]:
        """Embed each content by itself, which the queue puts together; up to the first that fails.

        Returns vectors, None for a content that has them, and what was wrong with the one behind the last.
        """
        missing = [each for each in contents if not each.embedded]
        texts = await asyncio.to_thread(lambda: [self.renewal.texts(each) for each in missing])
        results = await asyncio.gather(
            *(self.embedding.embed(self.target.embedder, each) for each in texts), return_exceptions=True
        )
        made = dict(zip((each.key for each in missing), results, strict=True))
        whole: list[NDArray[np.float32] | None] = []
        for content in contents:
            result = made.get(content.key)
            if isinstance(result, ModelUnavailable):
                return whole, ModelUnavailable(
                    f"document {content.doc_id!r} cannot be embedded: {result.message}",
                    metadata=result.metadata,
                    retry_after=result.retry_after,
                )
            if isinstance(result, RagError):
                return whole, result
            if isinstance(result, BaseException):
                raise result
            whole.append(result)
        return whole, None

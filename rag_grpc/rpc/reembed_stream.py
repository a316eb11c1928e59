"""One call of ReembedCollection: how far the work is, twice a second, and how it ended.

The work is not this call's own: calls for the same target share it. Whoever leaves, or is
cancelled, stops it only where nobody else waits for it. A server that drains ends the
call with NOT_READY; what was done is kept, and the next call goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from rag_grpc.core.errors import NotReady
from rag_grpc.core.models import Collection
from rag_grpc.core.reembedding import Job, Reembedding
from rag_grpc.rpc.drain import Drain
from ragapi.v1 import collection_service_pb2 as pb

PERIOD = 0.5
"""Seconds between two messages."""


async def reembed(
    request: pb.ReembedCollectionRequest,
    context: grpc.aio.ServicerContext[Any, Any],
    *,
    reembedding: Reembedding,
    drain: Drain,
    shown: Callable[[Collection], pb.Collection],
) -> None:
    """Write progress until the work is done, and then the collection. Raises what the work raises."""
    async with reembedding.watching(request.name, request.embedder) as job:
        drained = asyncio.ensure_future(drain.wait())
        try:
            while True:
                await asyncio.wait({job.task, drained}, timeout=PERIOD, return_when=asyncio.FIRST_COMPLETED)
                if job.task.done():
                    break
                if drained.done():
                    raise NotReady("the server drains: call again, and it goes on where it was")
                await _tell(context, job)
        finally:
            drained.cancel()
        collection = shown(job.task.result())
    done = collection.chunk_count
    await context.write(pb.ReembedCollectionResponse(done=done, total=done, collection=collection))


async def _tell(context: grpc.aio.ServicerContext[Any, Any], job: Job) -> None:
    progress = job.progress
    if progress.total is not None:
        await context.write(pb.ReembedCollectionResponse(done=progress.done, total=progress.total))

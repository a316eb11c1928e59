"""The composition root: opens what `rag_grpc.parts` made.

What is opened is a nest of `async with`; leaving it closes everything in reverse.
Tests start the server through here too, on port 0: what they test is what runs.

The order of a start: the sidecar answers first, then gRPC listens while all but
Ping and health is NOT_READY, then models and store load, then health says SERVING.
`rag_grpc.rpc.lifecycle` knows the order of an end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry
from threadpoolctl import threadpool_limits

from rag_grpc import __version__
from rag_grpc.core.canary import Canary
from rag_grpc.core.catalogue import Catalogue
from rag_grpc.core.ports import Store
from rag_grpc.core.quality_records import QualityRecords
from rag_grpc.event_loop import watch_lag
from rag_grpc.model_set import ModelSet
from rag_grpc.parts import HttpAddress, Parts
from rag_grpc.rpc.drain import Drain
from rag_grpc.rpc.health import Health
from rag_grpc.rpc.interceptors.base import Chain
from rag_grpc.rpc.lifecycle import Ending, serving
from rag_grpc.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class RunningServer:
    """A server that listens, and what it was made of."""

    grpc_address: str
    http_address: str
    page: str | None
    store: Store
    catalogue: Catalogue
    health: Health
    drain: Drain
    chain: Chain
    registry: CollectorRegistry
    ending: Ending
    models: ModelSet
    records: QualityRecords
    canary: Canary | None
    _measuring: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Load the models, open the store and begin to serve. Raises SettingsFault for a model."""
        began = time.monotonic()
        await self.models.load()
        await self.store.open()
        await self.catalogue.ensure_default()
        await self.records.restore()
        self.health.begin_serving()
        log.info(
            "ready",
            grpc_address=self.grpc_address,
            http_address=self.http_address,
            seconds=round(time.monotonic() - began, 3),
        )
        if self.canary is not None:
            self._measuring = asyncio.create_task(self.canary.run(self.store.quality))

    async def rest(self) -> None:
        """Ask oneself nothing more: what a drain waits for is users' calls."""
        if self._measuring is not None:
            await _cancelled(self._measuring)


@asynccontextmanager
async def running_server(settings: Settings, *, store: Store | None = None) -> AsyncIterator[RunningServer]:
    """Serve, with all loaded, until left. `store` takes the place of the one that the settings name."""
    async with listening_server(settings, store=store) as server:
        await server.load()
        yield server


@asynccontextmanager
async def listening_server(settings: Settings, *, store: Store | None = None) -> AsyncIterator[RunningServer]:
    """Listen, with nothing loaded yet, until left.

    Raises SettingsFault where the settings name what is not there, OSError where an address is taken.
    """
    parts = Parts(settings, store)
    async with AsyncExitStack() as stack:
        # The search threads are ours; BLAS's own would fight them for the same cores.
        stack.enter_context(threadpool_limits(limits=1, user_api="blas"))
        # First to open and last to close, so that it can be asked how the rest is getting on.
        http = await stack.enter_async_context(parts.sidecar())
        stack.push_async_callback(parts.store.close)
        lag = asyncio.create_task(watch_lag(parts.telemetry.lag))
        stack.push_async_callback(_cancelled, lag)
        stack.push_async_callback(parts.embedding.close)
        stack.push_async_callback(parts.reranking.close)
        stack.push_async_callback(parts.judging.close)
        # Before the queue that waits for them: what is asked of a model far away may hang.
        stack.push_async_callback(asyncio.to_thread, parts.models.close)
        stack.push_async_callback(parts.desk.close)
        server, chain = parts.server()
        ending = Ending(settings.drain_pause, settings.grace)
        grpc_address = await stack.enter_async_context(
            serving(
                server, settings.listen, chain=chain, health=parts.health, drain=parts.drain, ending=ending
            )
        )
        log.info(
            "listening",
            grpc_address=grpc_address,
            http_address=http.address,
            page=http.page,
            version=__version__,
        )
        running = _running(parts, http, grpc_address, chain, ending)
        stack.push_async_callback(running.rest)
        yield running


def _running(
    parts: Parts, http: HttpAddress, grpc_address: str, chain: Chain, ending: Ending
) -> RunningServer:
    return RunningServer(
        grpc_address=grpc_address,
        http_address=http.address,
        page=http.page,
        store=parts.store,
        catalogue=parts.catalogue,
        health=parts.health,
        drain=parts.drain,
        chain=chain,
        registry=parts.registry,
        ending=ending,
        models=parts.models,
        records=parts.records,
        canary=parts.canary,
    )


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

"""The composition root: with `rag_grpc.model_set`, the one module that names concrete adapters.

What is opened is a nest of `async with`; leaving it closes everything in reverse.
Tests start the server through here too, on port 0: what they test is what runs.

The order of a start: the sidecar answers first, then gRPC listens while all but
Ping and health is NOT_READY, then models and store load, then health says SERVING.
`rag_grpc.rpc.lifecycle` knows the order of an end.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
import prometheus_client
import structlog
from prometheus_client import CollectorRegistry
from threadpoolctl import threadpool_limits

from rag_grpc import __version__
from rag_grpc.analyzers.snowball import SnowballAnalyzer
from rag_grpc.core.budget import ByteBudget
from rag_grpc.core.catalogue import Catalogue
from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.ingestion import Ingestion
from rag_grpc.core.lanes import Lanes
from rag_grpc.core.limits import Limits
from rag_grpc.core.ports import Store
from rag_grpc.core.preparation import Workshop
from rag_grpc.core.reading import Reading
from rag_grpc.core.reembedding import Reembedding
from rag_grpc.core.reranking import Reranking
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.environment import split_address
from rag_grpc.event_loop import watch_lag
from rag_grpc.model_set import ModelSet
from rag_grpc.rpc import server as edge
from rag_grpc.rpc.collection_servicer import CollectionServicer
from rag_grpc.rpc.convert import StructCodec
from rag_grpc.rpc.drain import Drain
from rag_grpc.rpc.evaluation_servicer import EvaluationServicer
from rag_grpc.rpc.generation_servicer import GenerationServicer
from rag_grpc.rpc.health import Health
from rag_grpc.rpc.health_servicer import ServerHealthServicer, ServerInfo
from rag_grpc.rpc.ingestion_servicer import IngestionServicer
from rag_grpc.rpc.interceptors.base import Chain
from rag_grpc.rpc.interceptors.call import Work
from rag_grpc.rpc.lifecycle import Ending, serving
from rag_grpc.rpc.retrieval_servicer import RetrievalServicer
from rag_grpc.settings import Settings
from rag_grpc.sidecar import running_sidecar
from rag_grpc.splitters.structure import StructureSplitter
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.store import EmbeddedStore
from rag_grpc.stores.memory import MemoryStore
from rag_grpc.telemetry import PrometheusTelemetry, StoreCollector

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class RunningServer:
    """A server that listens, and what it was made of."""

    grpc_address: str
    http_address: str
    store: Store
    catalogue: Catalogue
    health: Health
    drain: Drain
    chain: Chain
    registry: CollectorRegistry
    ending: Ending
    models: ModelSet

    async def load(self) -> None:
        """Load the models, open the store and begin to serve. Raises SettingsFault for a model."""
        began = time.monotonic()
        await self.models.load()
        await self.store.open()
        await self.catalogue.ensure_default()
        self.health.begin_serving()
        log.info(
            "ready",
            grpc_address=self.grpc_address,
            http_address=self.http_address,
            seconds=round(time.monotonic() - began, 3),
        )


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
    parts = _Parts(settings, store)
    async with AsyncExitStack() as stack:
        # The search threads are ours; BLAS's own would fight them for the same cores.
        stack.enter_context(threadpool_limits(limits=1, user_api="blas"))
        # First to open and last to close, so that it can be asked how the rest is getting on.
        http_address = await stack.enter_async_context(parts.sidecar())
        stack.push_async_callback(parts.store.close)
        lag = asyncio.create_task(watch_lag(parts.telemetry.lag))
        stack.push_async_callback(_cancelled, lag)
        stack.push_async_callback(parts.embedding.close)
        stack.push_async_callback(parts.reranking.close)
        # Before the queue that waits for them: what is asked of a model far away may hang.
        stack.push_async_callback(asyncio.to_thread, parts.models.close)
        server, chain = parts.server()
        ending = Ending(settings.drain_pause, settings.grace)
        grpc_address = await stack.enter_async_context(
            serving(
                server, settings.listen, chain=chain, health=parts.health, drain=parts.drain, ending=ending
            )
        )
        log.info("listening", grpc_address=grpc_address, http_address=http_address, version=__version__)
        yield RunningServer(
            grpc_address=grpc_address,
            http_address=http_address,
            store=parts.store,
            catalogue=parts.catalogue,
            health=parts.health,
            drain=parts.drain,
            chain=chain,
            registry=parts.registry,
            ending=ending,
            models=parts.models,
        )


class _Parts:
    """What a server is made of. Making it opens nothing."""

    def __init__(self, settings: Settings, store: Store | None) -> None:
        # Else each counter has a second series with the time of its birth, which nobody asks for.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # it lacks annotations
        self.settings = settings
        self.limits = Limits(
            max_request_bytes=settings.max_request_bytes, max_collections=settings.max_collections
        )
        self.registry = CollectorRegistry()
        self.telemetry = PrometheusTelemetry(self.registry, version=__version__, store=settings.store)
        self.codec = StructCodec()
        self.analyzer = SnowballAnalyzer()
        self.models = ModelSet(settings, counted=self.telemetry.query_embedding)
        self.embedders = self.models.embedders
        self.store = store or self._store()
        self.embedding = EmbeddingQueue(self.embedders, self.telemetry)
        self.reranking = Reranking(self.models.rerankers, self.telemetry)
        self.budget = ByteBudget(settings.ingest_budget_bytes)
        self.drain = Drain()
        self.health = Health(self.store, edge.SERVICES)
        self.lanes = Lanes()
        self.catalogue = Catalogue(self.store, self.embedders, self.limits, lanes=self.lanes)
        self.registry.register(StoreCollector(self.store, self._gauges()))

    def server(self) -> tuple[grpc.aio.Server, Chain]:
        """Make the gRPC server over the use cases."""
        settings = self.settings
        chain = edge.interceptors(
            registry=self.registry,
            bounds={
                Work.READ: settings.max_reads,
                Work.WRITE: settings.max_writes,
                Work.STREAM: settings.max_streams,
            },
            not_ready=self._refusal,
            telemetry=self.telemetry,
            max_request_bytes=settings.max_request_bytes,
        )
        keepalive = edge.Keepalive(
            settings.keepalive_interval, settings.keepalive_timeout, settings.keepalive_tolerated
        )
        server = edge.make_server(
            chain,
            self._servicers(),
            self.health,
            max_request_bytes=settings.max_request_bytes,
            keepalive=keepalive,
        )
        return server, chain

    @asynccontextmanager
    async def sidecar(self) -> AsyncIterator[str]:
        """Serve HTTP and give the address with its real port."""
        host, port = split_address(self.settings.http_listen)
        async with running_sidecar(
            host, port, registry=self.registry, not_ready=self.health.reason
        ) as sidecar:
            yield f"{self.settings.http_listen.rpartition(':')[0]}:{sidecar.address[1]}"

    def _servicers(self) -> edge.Servicers:
        limits, splitter = self.limits, StructureSplitter()
        workshop = Workshop(self.embedders, splitter, self.codec, limits)
        reembedding = Reembedding(
            store=self.store, workshop=workshop, lanes=self.lanes, embedding=self.embedding
        )
        info = ServerInfo(
            __version__, self.store.name, tuple(self.embedders.values()), tuple(self.models.rerankers), limits
        )
        return edge.Servicers(
            collection=CollectionServicer(
                catalogue=self.catalogue, reembedding=reembedding, drain=self.drain, limits=limits
            ),
            evaluation=EvaluationServicer(limits=limits),
            generation=GenerationServicer(limits=limits),
            health=ServerHealthServicer(info=info),
            ingestion=IngestionServicer(
                ingestion=self._ingestion(splitter), budget=self.budget, drain=self.drain, limits=limits
            ),
            retrieval=RetrievalServicer(
                retrieval=self._retrieval(),
                reading=Reading(store=self.store, limits=limits),
                catalogue=self.catalogue,
                limits=limits,
            ),
        )

    def _ingestion(self, splitter: StructureSplitter) -> Ingestion:
        return Ingestion(
            store=self.store,
            embedders=self.embedders,
            splitter=splitter,
            codec=self.codec,
            limits=self.limits,
            lanes=self.lanes,
            embedding=self.embedding,
            telemetry=self.telemetry,
        )

    def _retrieval(self) -> Retrieval:
        return Retrieval(
            store=self.store,
            embedders=self.embedders,
            limits=self.limits,
            embedding=self.embedding,
            telemetry=self.telemetry,
            reranking=self.reranking,
            analyzer=self.analyzer,
            ef=self.settings.hnsw_ef,
        )

    def _refusal(self) -> str:
        """Say why no call is taken; "" where they are. In the pause before the drain they still are."""
        return "the server is draining" if self.drain.begun() else self.health.loading()

    def _store(self) -> Store:
        if self.settings.store == "memory":
            return MemoryStore(codec=self.codec, analyzer=self.analyzer)
        settings = self.settings
        threads = settings.threads or len(os.sched_getaffinity(0))
        return EmbeddedStore(
            settings.data_dir,
            codec=self.codec,
            telemetry=self.telemetry,
            analyzer=self.analyzer,
            settings=EmbeddedSettings(
                index=IndexParameters(
                    m=settings.hnsw_m,
                    ef_construction=settings.hnsw_ef_construction,
                    ef=settings.hnsw_ef,
                    graph_from=settings.graph_from,
                    threads=threads,
                ),
                search_threads=threads,
                disk_reserve_bytes=settings.disk_reserve_bytes,
                snapshot_seconds=settings.snapshot_after,
            ),
        )

    def _gauges(self) -> dict[str, tuple[str, Callable[[], float]]]:
        budget, capacity = self.budget, self.settings.ingest_budget_bytes
        return {
            "rag_ingest_budget_bytes": ("Bytes of documents that are worked on.", lambda: budget.in_use),
            "rag_ingest_budget_limit_bytes": ("Bytes of documents at once, at most.", lambda: capacity),
            "rag_ingest_budget_waiting": ("Calls that wait for a part of it.", lambda: budget.waiting),
        }


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

"""What a server is made of: every part, made and put together, none of it open yet.

`rag_grpc.app` opens and closes them. Where a use case gets a new collaborator, it is handed over
here; which adapters there are is known to `rag_grpc.model_set` and `rag_grpc.store_choice`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import prometheus_client
from prometheus_client import CollectorRegistry

from rag_grpc import __version__
from rag_grpc.analyzers.snowball import SnowballAnalyzer
from rag_grpc.canary_choice import make_canary
from rag_grpc.canary_gauges import CanaryGauges
from rag_grpc.core.budget import ByteBudget
from rag_grpc.core.canary import Canary
from rag_grpc.core.catalogue import Catalogue
from rag_grpc.core.embedding_queue import EmbeddingQueue
from rag_grpc.core.faithfulness import FaithfulnessEvaluation
from rag_grpc.core.generation import Generation
from rag_grpc.core.grounding import Grounding
from rag_grpc.core.index_recall import IndexMeasuring
from rag_grpc.core.ingestion import Ingestion
from rag_grpc.core.judging import Judging
from rag_grpc.core.lanes import Lanes
from rag_grpc.core.limits import Limits
from rag_grpc.core.ports import Store
from rag_grpc.core.precedence import Precedence
from rag_grpc.core.preparation import Workshop
from rag_grpc.core.quality_records import QualityRecords
from rag_grpc.core.reading import Reading
from rag_grpc.core.reembedding import Reembedding
from rag_grpc.core.reranking import Reranking
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.core.retrieval_evaluation import RetrievalEvaluation
from rag_grpc.environment import split_address
from rag_grpc.model_set import ModelSet
from rag_grpc.quality_gauges import QualityGauges
from rag_grpc.rpc import server as edge
from rag_grpc.rpc.answer_encoding import WireHits
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
from rag_grpc.rpc.retrieval_servicer import RetrievalServicer
from rag_grpc.settings import Settings
from rag_grpc.sidecar.asking import Asking
from rag_grpc.sidecar.desk import Desk
from rag_grpc.sidecar.guard import Guard, is_loopback
from rag_grpc.sidecar.history import History
from rag_grpc.sidecar.loop_line import LoopLine
from rag_grpc.sidecar.overview import Installed, Overview
from rag_grpc.sidecar.page import Page
from rag_grpc.sidecar.probes import Probes
from rag_grpc.sidecar.quality import QualityCurves
from rag_grpc.sidecar.routes import Routes
from rag_grpc.sidecar.server import running_sidecar
from rag_grpc.splitters.structure import StructureSplitter
from rag_grpc.store_choice import make_store
from rag_grpc.telemetry import PrometheusTelemetry, StoreCollector


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where HTTP is served, as HOST:PORT, and where people look at the page, None where it is off."""

    address: str
    page: str | None


class Parts:
    """All that a server is made of. Making it opens nothing. `store` takes the place of the settings' own."""

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
        self.models = ModelSet(settings, counted=self.telemetry.query_embedding, analyzer=self.analyzer)
        self.embedders = self.models.embedders
        self.store = store or make_store(
            settings, codec=self.codec, packing=WireHits(), telemetry=self.telemetry, analyzer=self.analyzer
        )
        self.embedding = EmbeddingQueue(self.embedders, self.telemetry)
        self.reranking = Reranking(self.models.rerankers, self.telemetry)
        self.judging = Judging(self.models.judges, self.telemetry)
        self.budget = ByteBudget(settings.ingest_budget_bytes)
        self.drain = Drain()
        self.health = Health(self.store, edge.SERVICES)
        self.lanes = Lanes()
        self.catalogue = Catalogue(self.store, self.embedders, self.limits, lanes=self.lanes)
        self.registry.register(StoreCollector(self.store, self._gauges()))
        self.precedence = Precedence()
        self.gauges = QualityGauges(self._names_of_collections)
        self.registry.register(self.gauges)
        self.records = QualityRecords(
            scoreboard=self.gauges, log=self.store.quality, telemetry=self.telemetry
        )
        self.retrieval = self._retrieval(self.precedence)
        self.telemetry.generators(self.models.generators)
        self.generation = self._generation()
        self.canary = self._canary()
        self.registry.register(CanaryGauges(None if self.canary is None else self.canary.state))
        self.line = LoopLine()
        self.desk = Desk(self.line, not_ready=self._refusal, telemetry=self.telemetry, registry=self.registry)

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
            limits=self.limits,
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
    async def sidecar(self) -> AsyncIterator[HttpAddress]:
        """Serve HTTP and give the address with its real port."""
        host, port = split_address(self.settings.http_listen)
        routes = Probes(self.line, registry=self.registry, not_ready=self.health.reason).routes()
        page = self._page(host) if self._shows_page(host) else None
        if page is not None:
            routes |= page.routes()
        tick = page.tick if page is not None else lambda: None
        async with running_sidecar(host, port, routes=Routes(routes), tick=tick) as sidecar:
            address = f"{self.settings.http_listen.rpartition(':')[0]}:{sidecar.address[1]}"
            yield HttpAddress(address, f"http://{address}/" if page is not None else None)

    def _shows_page(self, host: str) -> bool:
        wanted = self.settings.page
        return wanted == "on" or (wanted == "auto" and is_loopback(host))

    def _page(self, host: str) -> Page:
        installed = Installed(
            version=__version__,
            store=self.store.name,
            embedders=self.embedders,
            rerankers=tuple(self.models.rerankers),
            generators=tuple(self.models.generators),
            judges=tuple(self.models.judges),
        )
        return Page(
            Guard(host, self.settings.page_hosts),
            overview=Overview(self.line, installed=installed, store=self.store, reason=self.health.reason),
            history=History(self.registry),
            quality=QualityCurves(self.line, self.store.quality),
            asking=Asking(
                self.desk,
                retrieval=self.retrieval,
                generation=self.generation,
                codec=self.codec,
                limits=self.limits,
            ),
        )

    def _servicers(self) -> edge.Servicers:
        limits, splitter = self.limits, StructureSplitter()
        workshop = Workshop(self.embedders, splitter, self.codec, limits)
        reembedding = Reembedding(
            store=self.store, workshop=workshop, lanes=self.lanes, embedding=self.embedding
        )
        info = ServerInfo(
            version=__version__,
            store=self.store.name,
            embedders=tuple(self.embedders.values()),
            rerankers=tuple(self.models.rerankers),
            generators=tuple(self.models.generators),
            judges=tuple(self.models.judges),
            limits=limits,
        )
        return edge.Servicers(
            collection=CollectionServicer(
                catalogue=self.catalogue, reembedding=reembedding, drain=self.drain, limits=limits
            ),
            evaluation=self._evaluation(),
            generation=GenerationServicer(generation=self.generation, limits=limits),
            health=ServerHealthServicer(info=info),
            ingestion=IngestionServicer(
                ingestion=self._ingestion(splitter), budget=self.budget, drain=self.drain, limits=limits
            ),
            retrieval=RetrievalServicer(
                retrieval=self.retrieval,
                reading=Reading(store=self.store, limits=limits),
                catalogue=self.catalogue,
                limits=limits,
            ),
        )

    def _evaluation(self) -> EvaluationServicer:
        return EvaluationServicer(
            retrieval=RetrievalEvaluation(
                # Not the users' one: its queries wait for theirs.
                retrieval=self._retrieval(Precedence()),
                precedence=self.precedence,
                records=self.records,
            ),
            index=IndexMeasuring(store=self.store, precedence=self.precedence, records=self.records),
            faithfulness=FaithfulnessEvaluation(
                judging=self.judging, precedence=self.precedence, records=self.records
            ),
            drain=self.drain,
            limits=self.limits,
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
            precedence=self.precedence,
        )

    def _retrieval(self, precedence: Precedence) -> Retrieval:
        return Retrieval(
            store=self.store,
            embedders=self.embedders,
            limits=self.limits,
            embedding=self.embedding,
            telemetry=self.telemetry,
            reranking=self.reranking,
            analyzer=self.analyzer,
            ef=self.settings.hnsw_ef,
            precedence=precedence,
        )

    def _generation(self) -> Generation:
        return Generation(
            store=self.store,
            retrieval=self.retrieval,
            generators=self.models.generators,
            grounding=Grounding(self.judging, self.analyzer, threshold=self.settings.grounding_threshold),
            analyzer=self.analyzer,
            telemetry=self.telemetry,
        )

    def _canary(self) -> Canary | None:
        return make_canary(
            self.settings,
            store=self.store,
            # Not the users' one: its queries wait for theirs.
            retrieval=self._retrieval(Precedence()),
            judging=self.judging,
            precedence=self.precedence,
            records=self.records,
        )

    def _refusal(self) -> str:
        """Say why no call is taken; "" where they are. In the pause before the drain they still are."""
        return "the server is draining" if self.drain.begun() else self.health.loading()

    def _names_of_collections(self) -> list[str]:
        return [each.name for each in self.store.stats().collections]

    def _gauges(self) -> dict[str, tuple[str, Callable[[], float]]]:
        budget, capacity = self.budget, self.settings.ingest_budget_bytes
        return {
            "rag_ingest_budget_bytes": ("Bytes of documents that are worked on.", lambda: budget.in_use),
            "rag_ingest_budget_limit_bytes": ("Bytes of documents at once, at most.", lambda: capacity),
            "rag_ingest_budget_waiting": ("Calls that wait for a part of it.", lambda: budget.waiting),
        }

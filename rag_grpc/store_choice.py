"""The store that a server has. `rag_grpc.model_set` does the same for its models."""

from __future__ import annotations

import os

from rag_grpc.core.analysis import Analyzer
from rag_grpc.core.ports import HitCodec, MetadataCodec, Store, Telemetry
from rag_grpc.settings import Settings
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.store import EmbeddedStore
from rag_grpc.stores.memory import MemoryStore


def make_store(
    settings: Settings, *, codec: MetadataCodec, packing: HitCodec, telemetry: Telemetry, analyzer: Analyzer
) -> Store:
    """Make the store that the settings name. It is not open yet."""
    if settings.store == "memory":
        return MemoryStore(codec=codec, analyzer=analyzer)
    threads = settings.threads or len(os.sched_getaffinity(0))
    return EmbeddedStore(
        settings.data_dir,
        codec=codec,
        packing=packing,
        telemetry=telemetry,
        analyzer=analyzer,
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

"""The embedded store keeps the contract: as it is shipped, and with graphs from the first chunks on."""

from __future__ import annotations

from pathlib import Path

from rag_grpc.core.ports import Store
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.store import EmbeddedStore
from tests.contracts.fakes import JsonCodec, JsonHits, Records
from tests.contracts.store_contract import DurableStoreContract

SMALL = EmbeddedSettings(
    index=IndexParameters(graph_from=4, compact_from=4), tail_bound=64, disk_reserve_bytes=1024 * 1024
)
"""Graphs, tails and compactions in collections so small that only the contract's tests would see them."""


class TestEmbeddedStore(DurableStoreContract):
    def make_store(self, path: Path) -> Store:
        return EmbeddedStore(path, codec=JsonCodec(), telemetry=Records())


class TestEmbeddedStoreWithGraphs(DurableStoreContract):
    def make_store(self, path: Path) -> Store:
        return EmbeddedStore(path, codec=JsonCodec(), telemetry=Records(), settings=SMALL, packing=JsonHits())

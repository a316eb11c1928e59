"""The memory store keeps the contract."""

from pathlib import Path

from rag_grpc.core.ports import Store
from rag_grpc.stores.memory import MemoryStore
from tests.contracts.fakes import JsonCodec
from tests.contracts.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    def make_store(self, path: Path) -> Store:
        return MemoryStore(codec=JsonCodec())

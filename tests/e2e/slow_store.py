"""A store whose loading and whose disk a test has in its hand."""

import asyncio

from rag_grpc.core.store_state import StoreStatus
from rag_grpc.rpc.convert import StructCodec
from rag_grpc.stores.memory import MemoryStore


class SlowStore(MemoryStore):
    """A store that loads until it is told to be done, and whose disk is full when a test says so."""

    def __init__(self) -> None:
        super().__init__(codec=StructCodec())
        self.loaded = asyncio.Event()
        self.loading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.loaded.wait()
        await super().open()

    def turn(self, status: StoreStatus) -> None:
        self._status = status
        for listener in self._listeners:
            listener(status)

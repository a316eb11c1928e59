"""CollectionService for the asyncio client."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from rag_client import requests
from rag_client.asynchronous.sender import AsyncSender

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from rag_client.models import Chunking, Collection, CollectionPage, Metric, ReembedProgress


class AsyncCollectionCalls(AsyncSender):
    """Makes, shows and removes collections."""

    async def create_collection(
        self,
        name: str,
        *,
        embedder: str = "",
        dimension: int = 0,
        metric: Metric | None = None,
        chunking: Chunking | None = None,
        language: str = "",
        timeout: float | None = None,
    ) -> Collection:
        """Create a collection; one of the same configuration may exist already."""
        call = requests.create_collection(
            name,
            embedder=embedder,
            dimension=dimension,
            metric=metric,
            chunking=chunking,
            language=language,
        )
        return await self._send(call, timeout)

    async def get_collection(self, name: str = "", *, timeout: float | None = None) -> Collection:
        """Read one collection and its counts."""
        return await self._send(requests.get_collection(name), timeout)

    async def list_collections(
        self, *, page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> CollectionPage:
        """Read one page of collections, by name."""
        call = requests.list_collections(page_size=page_size, page_token=page_token)
        return await self._send(call, timeout)

    async def iter_collections(
        self, *, page_size: int = 0, timeout: float | None = None
    ) -> AsyncIterator[Collection]:
        """Read all collections, page by page."""
        async for page in self._pages(partial(self.list_collections, page_size=page_size, timeout=timeout)):
            for each in page.collections:
                yield each

    async def reembed_collection(
        self, name: str, embedder: str, *, timeout: float | None = None
    ) -> AsyncGenerator[ReembedProgress]:
        """Give a collection another embedder; yields how far it is.

        To stop it, leave it through `contextlib.aclosing`; called again, it goes on where it was.
        """
        async with aclosing(self._stream(requests.reembed_collection(name, embedder), timeout)) as steps:
            async for step in steps:
                yield step

    async def delete_collection(self, name: str, *, uid: str = "", timeout: float | None = None) -> bool:
        """Remove a collection and all that is in it; returns whether there was one."""
        return await self._send(requests.delete_collection(name, uid=uid), timeout)

"""CollectionService for the sync client."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rag_client import requests
from rag_client.blocking.sender import BlockingSender

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from rag_client.models import Chunking, Collection, CollectionPage, Metric, ReembedProgress


class CollectionCalls(BlockingSender):
    """Makes, shows and removes collections."""

    def create_collection(
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
        return self._send(call, timeout)

    def get_collection(self, name: str = "", *, timeout: float | None = None) -> Collection:
        """Read one collection and its counts."""
        return self._send(requests.get_collection(name), timeout)

    def list_collections(
        self, *, page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> CollectionPage:
        """Read one page of collections, by name."""
        call = requests.list_collections(page_size=page_size, page_token=page_token)
        return self._send(call, timeout)

    def iter_collections(self, *, page_size: int = 0, timeout: float | None = None) -> Iterator[Collection]:
        """Read all collections, page by page."""
        for page in self._pages(partial(self.list_collections, page_size=page_size, timeout=timeout)):
            yield from page.collections

    def reembed_collection(
        self, name: str, embedder: str, *, timeout: float | None = None
    ) -> Generator[ReembedProgress]:
        """Give a collection another embedder; yields how far it is.

        To stop it, close the iterator; called again, it goes on where it was.
        """
        yield from self._stream(requests.reembed_collection(name, embedder), timeout)

    def delete_collection(self, name: str, *, uid: str = "", timeout: float | None = None) -> bool:
        """Remove a collection and all that is in it; returns whether there was one."""
        return self._send(requests.delete_collection(name, uid=uid), timeout)

"""What a caller streams in a call that answers meanwhile: packed into messages, its own errors kept.

gRPC takes requests in a thread or task of its own, and makes of what a caller's iterator raises a status that
says nothing. So it is kept, and raised where the caller reads.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from google.protobuf.message import Message

    from rag_client.requests import StreamCall


class _Source:
    """Keeps what the caller's iterator raised, as `failure`, and then gives the call up."""

    def __init__(self, call: StreamCall[Any]) -> None:
        self._call = call
        self._stream: Any = None
        self.failure: Exception | None = None

    def of(self, stream: Any) -> None:
        """Name the call that the messages are sent on: it is there a moment later than they are."""
        self._stream = stream
        if self.failure is not None:
            stream.cancel()

    def _fail(self, failure: Exception) -> None:
        self.failure = failure
        if self._stream is not None:
            self._stream.cancel()


class Requests(_Source):
    """The messages of a call, for the sync client."""

    def __init__(self, call: StreamCall[Any], items: Iterable[Any]) -> None:
        super().__init__(call)
        self._items = items

    def messages(self) -> Iterator[Message]:
        """Give the first message, and one whenever it is full."""
        yield self._call.first
        packer = self._call.packer()
        try:
            for item in self._items:
                if message := packer.add(item):
                    yield message
        except Exception as error:  # noqa: BLE001 - the caller's own iterator: raised again to the caller
            self._fail(error)
            return
        if message := packer.flush():
            yield message


class AsyncRequests(_Source):
    """The same for asyncio."""

    def __init__(self, call: StreamCall[Any], items: Iterable[Any] | AsyncIterable[Any]) -> None:
        super().__init__(call)
        self._items = items

    async def messages(self) -> AsyncIterator[Message]:
        """Give the first message, and one whenever it is full."""
        yield self._call.first
        packer = self._call.packer()
        try:
            async for item in _each(self._items):
                if message := packer.add(item):
                    yield message
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)
            return
        if message := packer.flush():
            yield message


async def _each(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item

"""A stream of documents in tasks, for the asyncio client: `blocking` without its lock.

One task reads the caller's documents, one opens streams and reads their answers, gRPC's own takes requests;
the caller awaits results. An event that is set and cleared at every change stands for the condition: on one
loop, what is checked before an await still holds when it begins to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from rag_client.errors import UnavailableError
from rag_client.status import from_rpc_error
from rag_client.streaming.first_status import FirstStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

    from rag_client.models import Document, IngestItem, IngestResult
    from rag_client.streaming.packing import Message, Packer
    from rag_client.streaming.window import IngestWindow
    from ragapi.v1 import ingestion_service_pb2 as ingestion_pb


@dataclass(slots=True)
class _Stream:
    """One connection's stream; its requests end when it is no longer `live`."""

    live: bool = True


class AsyncIngest:
    """Carries documents to the server and results back. Used once."""

    def __init__(
        self,
        documents: Iterable[Document | IngestItem] | AsyncIterable[Document | IngestItem],
        packer: Packer,
        window: IngestWindow,
        open_stream: Callable[[AsyncIterator[ingestion_pb.StreamIngestDocumentsRequest]], Any],
    ) -> None:
        self._documents = documents
        self._packer = packer
        self._window = window
        self._open_stream = open_stream
        self._changed = asyncio.Event()
        self._ended = False
        self._failure: BaseException | None = None
        self._source_failure: BaseException | None = None

    async def results(self) -> AsyncGenerator[IngestResult]:
        """Yield one result for each document, in their order; then raise what ended the stream early."""
        tasks = [asyncio.create_task(self._feed()), asyncio.create_task(self._exchange())]
        try:
            ended = False
            while not ended:
                await self._until(lambda: self._window.has_results or self._ended)
                ended = self._ended
                results = self._window.take_results()
                self._notify()
                for result in results:
                    yield result
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if failure := self._failure or self._source_failure:
            raise failure

    async def _feed(self) -> None:
        try:
            async for document in _each(self._documents):
                await self._add(self._packer.add(document))
        except Exception as error:  # noqa: BLE001 - the caller's own iterator: raised again to the caller
            self._source_failure = error
        await self._add(self._packer.flush())
        self._window.close()
        self._notify()

    async def _add(self, message: Message | None) -> None:
        if message is not None:
            await self._until(lambda: self._window.has_room(message))
            self._window.add(message)
            self._notify()

    async def _exchange(self) -> None:
        try:
            while await self._wait_for_work():
                await self._one_stream()
        except Exception as error:  # noqa: BLE001 - raised again to the caller
            self._failure = error
        finally:
            self._ended = True
            self._notify()

    async def _wait_for_work(self) -> bool:
        await self._until(lambda: self._window.has_work or self._window.done)
        return self._window.has_work

    async def _one_stream(self) -> None:
        """Open a stream, take its answers until it ends, and wait where it ended too early."""
        stream = _Stream()
        failure = None
        call = self._open_stream(self._requests(stream))
        status = FirstStatus(call)
        try:
            async for response in call:
                self._window.answer(response)
                self._notify()
        except grpc.RpcError as error:
            failure = from_rpc_error(status.error or error)
        finally:
            stream.live = False
            self._notify()
            call.cancel()
        if not self._window.done:
            failure = failure or UnavailableError("the server ended the stream early")
            await asyncio.sleep(self._window.broken(failure))

    async def _requests(self, stream: _Stream) -> AsyncIterator[ingestion_pb.StreamIngestDocumentsRequest]:
        while stream.live and not self._window.done:
            request = self._window.next_request()
            if request is None:
                await self._change(self._window.pause())
            else:
                yield request

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._change(None)

    async def _change(self, timeout: float | None) -> None:  # noqa: ASYNC109 - a pause that a change may cut short
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _notify(self) -> None:
        """Wake all that wait now; who waits later waits for the next change."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


async def _each(
    documents: Iterable[Document | IngestItem] | AsyncIterable[Document | IngestItem],
) -> AsyncIterator[Document | IngestItem]:
    if isinstance(documents, AsyncIterable):
        async for document in documents:
            yield document
    else:
        for document in documents:
            yield document

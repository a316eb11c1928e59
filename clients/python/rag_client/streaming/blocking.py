"""A stream of documents in threads, for the sync client.

Three threads share the window under one lock. One reads the caller's documents, so that a slow source does
not keep answers from being read; one opens streams and reads their answers; gRPC's own takes requests. The
caller's thread only waits for results, so Ctrl-C reaches it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from rag_client.errors import UnavailableError
from rag_client.status import from_rpc_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rag_client.models import Document, IngestItem, IngestResult
    from rag_client.streaming.packing import Message, Packer
    from rag_client.streaming.window import IngestWindow
    from ragapi.v1 import ingestion_service_pb2 as ingestion_pb


@dataclass(slots=True)
class _Stream:
    """One connection's stream; its requests end when it is no longer `live`."""

    live: bool = True
    call: Any = None


class BlockingIngest:
    """Carries documents to the server and results back. Used once."""

    def __init__(
        self,
        documents: Iterable[Document | IngestItem],
        packer: Packer,
        window: IngestWindow,
        open_stream: Callable[[Iterator[ingestion_pb.StreamIngestDocumentsRequest]], Any],
    ) -> None:
        self._documents = documents
        self._packer = packer
        self._window = window
        self._open_stream = open_stream
        self._changed = threading.Condition()
        self._stopped = False
        self._ended = False
        self._stream: _Stream | None = None
        self._failure: BaseException | None = None
        self._source_failure: BaseException | None = None

    def results(self) -> Iterator[IngestResult]:
        """Yield one result for each document, in their order; then raise what ended the stream early."""
        feeder = threading.Thread(target=self._feed, name="rag-ingest-documents", daemon=True)
        exchange = threading.Thread(target=self._exchange, name="rag-ingest-answers", daemon=True)
        feeder.start()
        exchange.start()
        try:
            ended = False
            while not ended:
                with self._changed:
                    self._changed.wait_for(lambda: self._window.has_results or self._ended)
                    ended = self._ended
                    results = self._window.take_results()
                    self._changed.notify_all()
                yield from results
        finally:
            self._stop()
            exchange.join()  # the feeder may sit in the caller's own iterator, which nothing can interrupt
        if failure := self._failure or self._source_failure:
            raise failure

    def _feed(self) -> None:
        try:
            for document in self._documents:
                if not self._add(self._packer.add(document)):
                    return
        except Exception as error:  # noqa: BLE001 - the caller's own iterator: raised again to the caller
            self._source_failure = error
        self._add(self._packer.flush())
        with self._changed:
            self._window.close()
            self._changed.notify_all()

    def _add(self, message: Message | None) -> bool:
        """Put a message into the window when there is room; return whether to go on."""
        with self._changed:
            if message is not None:
                self._changed.wait_for(lambda: self._stopped or self._window.has_room(message))
                if not self._stopped:
                    self._window.add(message)
                    self._changed.notify_all()
            return not self._stopped

    def _exchange(self) -> None:
        try:
            while self._wait_for_work():
                self._one_stream()
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._window.has_work or self._window.done)
            return not self._stopped and self._window.has_work

    def _one_stream(self) -> None:
        """Open a stream, take its answers until it ends, and wait where it ended too early."""
        stream = _Stream()
        failure = None
        try:
            call = self._open(stream)
            for response in call:
                with self._changed:
                    self._window.answer(response)
                    self._changed.notify_all()
        except grpc.RpcError as error:
            failure = from_rpc_error(error)
        finally:
            with self._changed:
                stream.live = False
                self._changed.notify_all()
            if stream.call is not None:
                stream.call.cancel()
        with self._changed:
            if self._stopped or self._window.done:
                return
            pause = self._window.broken(failure or UnavailableError("the server ended the stream early"))
            self._changed.wait_for(lambda: self._stopped, timeout=pause)

    def _open(self, stream: _Stream) -> Any:
        call = self._open_stream(self._requests(stream))
        with self._changed:
            stream.call = call
            self._stream = stream
            if self._stopped:
                call.cancel()
        return call

    def _requests(self, stream: _Stream) -> Iterator[ingestion_pb.StreamIngestDocumentsRequest]:
        while True:
            with self._changed:
                while (request := self._next(stream)) is None:
                    if not stream.live or self._stopped or self._window.done:
                        return
                    self._changed.wait(self._window.pause())
            yield request

    def _next(self, stream: _Stream) -> ingestion_pb.StreamIngestDocumentsRequest | None:
        """Take the next request, unless the stream is over: then it is the next stream's."""
        return self._window.next_request() if stream.live else None

    def _stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            stream = self._stream
        if stream is not None and stream.call is not None:
            stream.call.cancel()

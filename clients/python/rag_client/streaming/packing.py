"""Documents are grouped into messages: by count and by bytes, under the server's limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag_client.errors import InvalidFieldError, LimitExceededError, RagClientError
from rag_client.messages import item_message
from rag_client.models import Document, IngestItem, IngestResult
from ragapi.v1 import ingestion_service_pb2 as ingestion_pb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rag_client.streaming.policy import IngestPolicy

ITEM_OVERHEAD = 6
"""Bytes of a field's tag and length around one item, at most."""

ENVELOPE = 128
"""Bytes of a message beside its items, at most: the collection's name and the sequence."""

DEFAULT_REQUEST_BYTES = 4 * 1024 * 1024
"""Where a server states no limit: what gRPC takes by default."""


@dataclass(eq=False, slots=True)
class Message:
    """Some documents on their way: an item until it is answered, then its result, position by position."""

    items: list[ingestion_pb.IngestItem | None]
    results: list[IngestResult | None]
    sequence: int = 0

    @property
    def open_positions(self) -> list[int]:
        """Which items have no final result yet."""
        return [position for position, item in enumerate(self.items) if item is not None]

    @property
    def doc_ids(self) -> set[str]:
        """The documents that are still open."""
        return {item.document.doc_id for item in self.items if item is not None}

    def settle(self, position: int, result: IngestResult) -> None:
        """Keep the final result of an item and let go of its document."""
        self.items[position] = None
        self.results[position] = result


class Packer:
    """Takes documents one by one and gives messages as they fill up.

    A document that cannot be sent (values that the contract has no place for, or larger than a request may
    be: that would end the stream for all) becomes a failed result here. No message holds one doc_id twice:
    if the first failed for the moment and the second did not, sending the first again would undo the second.
    """

    def __init__(self, policy: IngestPolicy, limits: Mapping[str, int]) -> None:
        self._largest = (limits.get("max_request_bytes") or DEFAULT_REQUEST_BYTES) - ENVELOPE
        self._bytes = min(policy.batch_bytes, self._largest)
        self._count = min(policy.batch_documents, limits.get("max_batch_documents") or policy.batch_documents)
        self._start()

    def add(self, item: Document | IngestItem) -> Message | None:
        """Take a document; return the message before it where the document did not fit in any more."""
        document = item.document if isinstance(item, IngestItem) else item
        message: ingestion_pb.IngestItem | None = None
        result: IngestResult | None = None
        size = 0
        try:
            message, size = self._sized(item)
        except RagClientError as error:
            result = IngestResult(document.doc_id, "failed", error=error)
        twice = message is not None and document.doc_id in self._doc_ids
        full = len(self._items) >= self._count or self._size + size > self._bytes or twice
        closed = self.flush() if full else None
        self._items.append(message)
        self._results.append(result)
        self._size += size
        if message is not None:
            self._doc_ids.add(document.doc_id)
        return closed

    def flush(self) -> Message | None:
        """Return what is left, if anything."""
        if not self._items:
            return None
        message = Message(self._items, self._results)
        self._start()
        return message

    def _start(self) -> None:
        self._items: list[ingestion_pb.IngestItem | None] = []
        self._results: list[IngestResult | None] = []
        self._doc_ids: set[str] = set()
        self._size = 0

    def _sized(self, item: Document | IngestItem) -> tuple[ingestion_pb.IngestItem, int]:
        try:
            message = item_message(item)
        except (TypeError, ValueError) as error:
            raise InvalidFieldError(str(error)) from error
        size = message.ByteSize() + ITEM_OVERHEAD
        if size > self._largest:
            raise LimitExceededError(f"{size} bytes in one request, the server takes {self._largest}")
        return message, size

"""What is under way on a stream: sent and not answered, answered and not yet handed on, to be sent again.

The window is bounded, so a caller that does not take results, or a server that does not answer, stops the
reading of documents. It keeps the contract's order: a document that is still under way holds back a newer
version of itself, because an item that failed for the moment is sent again and must not overtake.
Not safe for threads: `blocking` puts a lock around it, `asynchronous` needs none.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from rag_client.errors import InternalError, RagClientError
from rag_client.results import ingest_result
from rag_client.streaming.policy import Backoff, IngestPolicy, may_resend
from ragapi.v1 import ingestion_service_pb2 as ingestion_pb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rag_client.models import IngestResult
    from rag_client.streaming.packing import Message


class IngestWindow:
    """Messages between the first send and the last result, in the order of the documents."""

    def __init__(
        self,
        policy: IngestPolicy,
        *,
        limits: Mapping[str, int],
        collection: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._size = max(1, min(policy.window, limits.get("max_stream_window") or policy.window))
        self._collection = collection
        self._clock = clock
        self._messages: deque[Message] = deque()
        self._to_send: deque[Message] = deque()
        self._sent: deque[tuple[Message, list[int]]] = deque()
        self._trouble: dict[int, Backoff] = {}
        self._connection = Backoff(policy, clock)
        self._resume_at = 0.0
        self._sequence = 0
        self._closed = False

    @property
    def done(self) -> bool:
        """Whether every document has its final result."""
        return self._closed and not self._to_send and not self._sent

    @property
    def has_work(self) -> bool:
        """Whether a message waits to be sent."""
        return bool(self._to_send)

    @property
    def has_results(self) -> bool:
        """Whether the first message is settled."""
        return bool(self._messages) and not self._messages[0].open_positions

    def has_room(self, message: Message) -> bool:
        """Whether `message` may come in: there is room, and none of its documents is under way."""
        if len(self._messages) >= self._size:
            return False
        return all(message.doc_ids.isdisjoint(other.doc_ids) for other in self._messages)

    def add(self, message: Message) -> None:
        """Take a message in. One whose documents all failed before they were sent only waits its turn."""
        self._sequence += 1
        message.sequence = self._sequence
        self._messages.append(message)
        if message.open_positions:
            self._to_send.append(message)

    def close(self) -> None:
        """Say that no more documents come."""
        self._closed = True

    def next_request(self) -> ingestion_pb.StreamIngestDocumentsRequest | None:
        """Return the next message to send, or None where there is none or it is not yet time."""
        if not self._to_send or self._clock() < self._resume_at:
            return None
        message = self._to_send.popleft()
        positions = message.open_positions
        self._sent.append((message, positions))
        return ingestion_pb.StreamIngestDocumentsRequest(
            collection=self._collection,
            items=[item for item in message.items if item is not None],
            sequence=message.sequence,
        )

    def pause(self) -> float | None:
        """Return the seconds until a message may be sent, or None where only a change can bring one."""
        return max(0.0, self._resume_at - self._clock()) if self._to_send else None

    def answer(self, response: ingestion_pb.StreamIngestDocumentsResponse) -> None:
        """Take the server's answer to the oldest message under way."""
        message, positions = self._sent.popleft() if self._sent else (None, [])
        if message is None or (response.sequence, len(response.results)) != (
            message.sequence,
            len(positions),
        ):
            raise InternalError(f"the server's answer {response.sequence} fits no message that was sent")
        self._connection.progress()
        waiting = []
        for position, each in zip(positions, response.results, strict=True):
            result = ingest_result(each)
            if result.error is not None and may_resend(result.error):
                waiting.append((position, result, result.error))
            else:
                message.settle(position, result)
        if waiting:
            self._postpone(message, waiting)
        else:
            self._trouble.pop(message.sequence, None)

    def broken(self, error: RagClientError) -> float:
        """Take note that the stream ended; return the seconds to wait before the next.

        Raises `error` where sending again cannot help, or was tried long enough.
        """
        if not may_resend(error):
            raise error
        self._queue([message for message, _ in self._sent])
        self._sent.clear()
        pause = self._connection.pause_after(error)
        if pause is None:
            raise error
        self._resume_at = self._clock() + pause
        return pause

    def take_results(self) -> list[IngestResult]:
        """Hand on what is settled, in the order of the documents."""
        results: list[IngestResult] = []
        while self.has_results:
            results.extend(result for result in self._messages.popleft().results if result is not None)
        return results

    def _postpone(self, message: Message, waiting: list[tuple[int, IngestResult, RagClientError]]) -> None:
        """Send items again that failed for the moment, or let them fail where that was tried long enough.

        Nothing else is sent during the pause either: what holds for these documents holds for the next.
        """
        trouble = self._trouble.setdefault(message.sequence, Backoff(self._policy, self._clock))
        longest = max((error for _, _, error in waiting), key=lambda error: error.retry_delay or 0.0)
        pause = trouble.pause_after(longest)
        if pause is None:
            del self._trouble[message.sequence]
            for position, result, _ in waiting:
                message.settle(position, result)
            return
        self._resume_at = max(self._resume_at, self._clock() + pause)
        self._queue([message])

    def _queue(self, messages: list[Message]) -> None:
        """Put messages back among those to be sent, in their order."""
        self._to_send = deque(sorted([*self._to_send, *messages], key=lambda each: each.sequence))

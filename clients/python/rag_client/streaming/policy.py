"""How a stream of documents is sent, and how long it is tried."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from rag_client.errors import RagClientError, RateLimitedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class IngestPolicy:
    """How a stream of documents is sent, and how long it is tried.

    Messages hold up to `batch_documents` documents and about `batch_bytes` bytes; `window` of them are under
    way at a time. Where the server drains, is overloaded or does not answer, what was not answered is sent
    again after a growing pause (from `initial_pause` to `longest_pause` seconds, or what the server asks
    for), until `attempts` in a row, or `patience` seconds, brought no answer.
    """

    batch_documents: int = 100
    batch_bytes: int = 1 << 20
    window: int = 4
    attempts: int = 100
    patience: float = 120.0
    initial_pause: float = 0.1
    longest_pause: float = 3.0


class Backoff:
    """Counts failures in a row and says how long to wait after each."""

    def __init__(self, policy: IngestPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._failures = 0
        self._since = 0.0

    def progress(self) -> None:
        """Forget what failed: something was answered."""
        self._failures = 0

    def pause_after(self, error: RagClientError) -> float | None:
        """Return the seconds to wait before the next attempt, or None where it is time to give up."""
        now = self._clock()
        if not self._failures:
            self._since = now
        self._failures += 1
        policy = self._policy
        if self._failures >= policy.attempts or now - self._since >= policy.patience:
            return None
        growing = min(policy.longest_pause, policy.initial_pause * 2.0 ** (self._failures - 1))
        # Spread out, so that the clients of a restarted server do not all come back in one moment.
        return max(growing * random.uniform(0.5, 1.0), error.retry_delay or 0.0)  # noqa: S311 - no secret


def may_resend(error: RagClientError) -> bool:
    """Say whether sending again can help: the server is not there or not now, or the connection broke.

    A stream that is cut in the middle may also end as INTERNAL or CANCELLED; then gRPC speaks, not the
    server, and there is no reason. Ingesting twice is safe, so the doubt is settled by sending again.
    """
    if isinstance(error, UnavailableError | RateLimitedError):
        return True
    return not error.reason and error.code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED}

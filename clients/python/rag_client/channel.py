"""How a channel to the server is made, the same for both clients."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from rag_client.methods import METHODS, TIMEOUTS, service_config
from rag_client.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_TARGET = "127.0.0.1:50051"

RETRY_BUFFER = 16 * 1024 * 1024
"""gRPC keeps a request to send it again only up to a bound, 256 KiB by default: less than a full batch."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a client calls: where, as whom, how long, and how patiently."""

    target: str
    credentials: grpc.ChannelCredentials | None = field(repr=False)
    metadata: Sequence[tuple[str, str]] = field(repr=False)
    timeout: float | None
    timeouts: Mapping[str, float]
    retries: bool
    wait_for_ready: bool
    options: Sequence[tuple[str, Any]]

    def __post_init__(self) -> None:
        """Refuse names of methods that there are not: a misspelt one would be a timeout that never holds."""
        if unknown := sorted(set(self.timeouts) - set(METHODS)):
            raise ValueError(f"no method {', '.join(unknown)}; there are {', '.join(METHODS)}")

    def channel_options(self) -> list[tuple[str, Any]]:
        """Return gRPC's options.

        What may be received at once stays at gRPC's 4 MB: the contract keeps every response below it.
        """
        return [
            ("grpc.service_config", service_config(retries=self.retries)),
            ("grpc.per_rpc_retry_buffer_size", RETRY_BUFFER),
            ("grpc.max_send_message_length", -1),  # what is too large is the server's to say, with a reason
            # A connection that died without a word is noticed while a stream has no deadline of its own.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.primary_user_agent", f"rag-grpc-client/{__version__}"),
            *self.options,
        ]

    def call_options(self, method: str, timeout: float | None) -> dict[str, Any]:
        """Return what is passed beside the request.

        The nearest timeout holds: the call's, the method's, the client's, the default. Infinite means none.
        The client's is meant for calls that end by themselves, so the streams do not take it.
        """
        default = TIMEOUTS[method]
        general = self.timeout if math.isfinite(default) else None
        given = [each for each in (timeout, self.timeouts.get(method), general) if each is not None]
        seconds = given[0] if given else default
        return {
            "timeout": None if math.isinf(seconds) else seconds,
            "metadata": tuple(self.metadata),
            "wait_for_ready": self.wait_for_ready,
        }

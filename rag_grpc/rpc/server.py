"""The gRPC server: its options, its interceptors in their order, and what it serves.

Takes ready servicers; `rag_grpc.parts` makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2_grpc
from prometheus_client import CollectorRegistry

from rag_grpc.core.limits import Limits
from rag_grpc.core.ports import Telemetry
from rag_grpc.rpc import health, reflection
from rag_grpc.rpc.health import Health
from rag_grpc.rpc.interceptors.access_log import AccessLog
from rag_grpc.rpc.interceptors.admission import Admission
from rag_grpc.rpc.interceptors.base import Chain
from rag_grpc.rpc.interceptors.call import Method, Work
from rag_grpc.rpc.interceptors.deadline import Deadline
from rag_grpc.rpc.interceptors.errors import Errors
from rag_grpc.rpc.interceptors.metrics import Metrics
from rag_grpc.rpc.interceptors.request_id import RequestId
from rag_grpc.rpc.item_counts import ItemCounts
from ragapi.v1 import (
    collection_service_pb2_grpc,
    evaluation_service_pb2_grpc,
    generation_service_pb2_grpc,
    health_service_pb2_grpc,
    ingestion_service_pb2_grpc,
    retrieval_service_pb2_grpc,
)

PENDING_CALLS = 10_000
"""Calls that came and were not begun yet, from which on gRPC drops some, and from twice as many all. It does
so with 1,000 by default: their callers see CANCELLED without a word, no log and no metric knows of it,
and a burst of calls, or a client that is killed with many under way, has others' calls dropped. `Admission`
turns away what is too much, and says why."""
MESSAGE_MARGIN = 4 * 1024 * 1024
"""How far gRPC's own limit lies above ours, so that a message a little too large gets our error with its
request id, and only one far too large gets gRPC's bare one."""


@dataclass(frozen=True, slots=True)
class Keepalive:
    """When the server asks whether a quiet caller is still there. All in seconds.

    `interval`: after that long without a word. `timeout`: how long the answer may take. `tolerated`: how
    often a caller may ask us without having a call open; more often than that and gRPC cuts it off.
    """

    interval: float = 30.0
    timeout: float = 10.0
    tolerated: float = 10.0


@dataclass(frozen=True, slots=True)
class Servicers:
    """What answers each service of the contract."""

    collection: collection_service_pb2_grpc.CollectionServiceServicer
    evaluation: evaluation_service_pb2_grpc.EvaluationServiceServicer
    generation: generation_service_pb2_grpc.GenerationServiceServicer
    health: health_service_pb2_grpc.HealthServiceServicer
    ingestion: ingestion_service_pb2_grpc.IngestionServiceServicer
    retrieval: retrieval_service_pb2_grpc.RetrievalServiceServicer


_REGISTRATIONS: dict[str, tuple[str, Callable[..., None]]] = {
    "ragapi.v1.CollectionService": (
        "collection",
        collection_service_pb2_grpc.add_CollectionServiceServicer_to_server,
    ),
    "ragapi.v1.EvaluationService": (
        "evaluation",
        evaluation_service_pb2_grpc.add_EvaluationServiceServicer_to_server,
    ),
    "ragapi.v1.GenerationService": (
        "generation",
        generation_service_pb2_grpc.add_GenerationServiceServicer_to_server,
    ),
    "ragapi.v1.HealthService": ("health", health_service_pb2_grpc.add_HealthServiceServicer_to_server),
    "ragapi.v1.IngestionService": (
        "ingestion",
        ingestion_service_pb2_grpc.add_IngestionServiceServicer_to_server,
    ),
    "ragapi.v1.RetrievalService": (
        "retrieval",
        retrieval_service_pb2_grpc.add_RetrievalServiceServicer_to_server,
    ),
}
SERVICES = tuple(_REGISTRATIONS)
"""The services of the contract, by full name."""


def interceptors(
    *,
    registry: CollectorRegistry,
    bounds: Mapping[Work, int],
    not_ready: Callable[[], str],
    telemetry: Telemetry,
    limits: Limits,
) -> Chain:
    """Put the interceptors in their order, outermost first. The order is part of what they promise."""
    return Chain(
        (
            # Names the call: everything that is logged or answered from here on carries the name.
            RequestId(),
            # Around all that can refuse, so that every call has its line, with the final code.
            AccessLog(),
            # Likewise for counts. Inside the log, so that writing the line is not timed.
            Metrics(registry, methods()),
            # Settles the code that the two above read. Nothing that raises stands outside it.
            Errors(),
            # Authentication belongs here, when it comes: its refusals are logged, counted and given a
            # status by those above, and who is not let in takes no place from those who are.
            # Before the request is decoded, so that turning away is cheap.
            Admission(bounds, not_ready=not_ready, telemetry=telemetry),
            # Last: a call may have waited in gRPC's queue or above.
            Deadline(),
        ),
        max_request_bytes=limits.max_request_bytes,
        looks=lambda method: ItemCounts(method, limits).check if method.service in SERVICES else None,
    )


class _ByPath:
    """Takes handlers to be found by the path of a call, and does not register their methods with gRPC.

    grpc.aio keeps a task waiting for the next call of each registered method, and for each call that comes
    puts a callback on every one of them and takes it off again. With the 40 methods of this server an empty
    call took 240 µs of the event loop's time, and 190 without (Python 3.11, grpcio 1.85).
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Do nothing: generated code calls this beside `add_generic_rpc_handlers`, with the same handlers."""


def make_server(
    chain: Chain, servicers: Servicers, probes: Health, *, max_request_bytes: int, keepalive: Keepalive
) -> grpc.aio.Server:
    """Make the server with all of its services; it is neither bound nor started."""
    server = grpc.aio.server(
        interceptors=(chain,), options=_options(max_request_bytes=max_request_bytes, keepalive=keepalive)
    )
    by_path = _ByPath(server)
    for name, register in _REGISTRATIONS.values():
        register(getattr(servicers, name), by_path)
    health_pb2_grpc.add_HealthServicer_to_server(probes, by_path)
    reflection.add_reflection((*SERVICES, health.SERVICE), server)
    return server


def methods() -> Iterator[Method]:
    """Give every method that this server has."""
    pool = descriptor_pool.Default()
    for service in (*SERVICES, health.SERVICE, *reflection.SERVICES):
        # Both versions of reflection have the methods of the one whose descriptor there is.
        known = reflection.SERVICES[-1] if service in reflection.SERVICES else service
        for method in pool.FindServiceByName(known).methods:
            yield Method.named(
                service,
                method.name,
                request_streaming=method.client_streaming,
                response_streaming=method.server_streaming,
            )


def _options(*, max_request_bytes: int, keepalive: Keepalive) -> list[tuple[str, Any]]:
    return [
        # By default a second server binds the same port without a word and takes half of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_request_bytes + MESSAGE_MARGIN),
        # What is sent is bounded by the contract's max_response_bytes, checked where it is built.
        ("grpc.max_send_message_length", -1),
        ("grpc.server.max_pending_requests", PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * PENDING_CALLS),
        ("grpc.keepalive_time_ms", int(keepalive.interval * 1000)),
        ("grpc.keepalive_timeout_ms", int(keepalive.timeout * 1000)),
        # Streams of documents may be quiet for long; and load balancers drop quiet connections.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", int(keepalive.tolerated * 1000)),
    ]

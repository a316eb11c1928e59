"""Readiness as orchestrators ask for it: grpc.health.v1, told from what the store can do.

grpcio-health-checking brings a servicer too. It begins as SERVING, lacks List, and
writes to its watchers under one lock, so that one who does not read holds up the
news for all. Here nothing is stored twice: every answer is computed from the
store's status and the drain, and each watcher waits for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from rag_grpc.core.ports import Store
from rag_grpc.core.store_state import StoreStatus

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
SERVING: int = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: int = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN: int = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

OVERALL = ""
WRITING = frozenset({"ragapi.v1.IngestionService", "ragapi.v1.CollectionService"})
ALIVE = frozenset({"ragapi.v1.HealthService"})
"""Answers whatever the state of the store is, so it serves until the drain."""


class Health:
    """Tells of `services` and of the server as a whole, which goes by the name "".

    NOT_SERVING until `begin_serving`, and again from `begin_draining` on. In between a service that reads
    serves where the store can be read, one that writes where it can be written too.
    """

    def __init__(self, store: Store, services: Iterable[str]) -> None:
        self._store = store
        self._services = (OVERALL, *sorted(services))
        self._loaded = False
        self._draining = False
        self._over = False
        self._watchers: set[asyncio.Event] = set()
        store.subscribe(self._changed)

    def loading(self) -> str:
        """Say why nothing can be asked for yet; "" from `begin_serving` on, also in the drain."""
        return "" if self._loaded else "the server is loading its data"

    def reason(self) -> str:
        """Say why the server as a whole does not serve, for people; "" where it does."""
        if self._draining:
            return "the server is draining"
        if not self._loaded:
            return self.loading()
        status = self._store.status()
        return "" if status.can_read else status.read_reason or "the store cannot be read"

    def begin_serving(self) -> None:
        """Say that all is loaded; from here on the store's status decides."""
        self._loaded = True
        self._wake()

    def begin_draining(self) -> None:
        """Say NOT_SERVING to everyone, for good."""
        self._draining = True
        self._wake()

    def end_watches(self) -> None:
        """End the open Watch streams, which else would use up the whole grace of a stop."""
        self._over = True
        self._wake()

    def serving(self, service: str) -> int | None:
        """Say how a service is now, None where there is none of that name."""
        if service not in self._services:
            return None
        if self._draining:
            return NOT_SERVING
        if service in ALIVE:
            return SERVING
        status = self._store.status()
        able = self._loaded and status.can_read and (status.can_write or service not in WRITING)
        return SERVING if able else NOT_SERVING

    async def Check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:  # noqa: N802 # the protocol's name
        """Answer once. The protocol wants a bare NOT_FOUND for a service that is not there."""
        status = self.serving(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service!r}")
        return health_pb2.HealthCheckResponse(status=status)

    async def List(self, request: Any, context: Any) -> health_pb2.HealthListResponse:  # noqa: ARG002, N802 # as above
        """Answer for all services at once."""
        return health_pb2.HealthListResponse(
            statuses={
                name: health_pb2.HealthCheckResponse(status=self.serving(name)) for name in self._services
            }
        )

    async def Watch(  # noqa: N802 # as above
        self,
        request: Any,
        context: Any,  # noqa: ARG002 # gRPC hands it over
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Answer now and after each change, until the caller leaves or the drain ends it.

        What changes while a caller does not read is told by the last state alone.
        """
        changed = asyncio.Event()
        self._watchers.add(changed)
        told = None
        try:
            while True:
                status = self.serving(request.service)
                now = SERVICE_UNKNOWN if status is None else status
                if now != told:
                    yield health_pb2.HealthCheckResponse(status=now)
                    told = now
                elif self._over:
                    return
                else:
                    await changed.wait()
                    changed.clear()
        finally:
            self._watchers.discard(changed)

    def _changed(self, _status: StoreStatus) -> None:
        self._wake()

    def _wake(self) -> None:
        for changed in self._watchers:
            changed.set()

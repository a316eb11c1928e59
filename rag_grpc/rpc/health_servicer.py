"""The contract's own HealthService, for people and start-up checks.

Orchestrators ask grpc.health.v1, which is `rag_grpc.rpc.health`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from rag_grpc.core.limits import Limits
from rag_grpc.core.model_ports import Embedder
from rag_grpc.rpc.convert_collection import embedder_to_proto, limits_to_proto
from ragapi.v1 import health_service_pb2 as pb
from ragapi.v1.health_service_pb2_grpc import HealthServiceServicer


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What runs here: the release, the store's name, models with the default first, the limits.

    Re-rankers and judges are known by name. Embedders tell the rest when they are asked, for they may be
    loading still.
    """

    version: str
    store: str
    embedders: Sequence[Embedder]
    rerankers: Sequence[str]
    generators: Sequence[str]
    judges: Sequence[str]
    limits: Limits


class ServerHealthServicer(HealthServiceServicer):
    """Answers whatever the state of the rest. Its requests have no fields, so nothing is checked."""

    def __init__(self, *, info: ServerInfo) -> None:
        self._info = info

    async def Ping(
        self, request: pb.PingRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.PingResponse:
        """Answer."""
        del request, context
        return pb.PingResponse(status="ok", message="pong")

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetServerInfoResponse:
        """Say what runs here."""
        del request, context
        info = self._info
        return pb.GetServerInfoResponse(
            version=info.version,
            store=info.store,
            embedders=[embedder_to_proto(embedder) for embedder in info.embedders],
            rerankers=info.rerankers,
            generators=info.generators,
            judges=info.judges,
            limits=limits_to_proto(info.limits),
        )

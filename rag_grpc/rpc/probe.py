"""Asks a running server how it is, as an orchestrator does."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING = "SERVING"


def probe(address: str, service: str, timeout: float) -> str:
    """Give the name of the status that the server at `address` has, as grpc.health.v1 calls it.

    `service` "" means the server as a whole. Raises OSError that says why there is no answer.
    """
    with grpc.insecure_channel(_reachable(address)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            response = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout)
        except grpc.RpcError as error:
            raise OSError(f"{error.code().name}: {error.details()}") from error
    name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
    return name


def _reachable(address: str) -> str:
    """Name this machine where `address` is one that can only be listened on."""
    host, _, port = address.rpartition(":")
    return f"{_ANY_HOST.get(host, host)}:{port}"


_ANY_HOST = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 # asked, not bound

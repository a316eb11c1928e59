"""Every RPC that the client calls: how long it may take and whether it may be sent twice.

Both come from one place so that the sync and the asyncio client cannot differ. Whether sending again is safe
is not ours to say: it is the contract's idempotency_level, read from the descriptors.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, wrappers_pb2

from ragapi.v1 import (
    collection_service_pb2,
    collection_service_pb2_grpc,
    evaluation_service_pb2,
    evaluation_service_pb2_grpc,
    generation_service_pb2,
    generation_service_pb2_grpc,
    health_service_pb2,
    health_service_pb2_grpc,
    ingestion_service_pb2,
    ingestion_service_pb2_grpc,
    retrieval_service_pb2,
    retrieval_service_pb2_grpc,
)

STUBS: tuple[tuple[Any, Any], ...] = (
    (collection_service_pb2, collection_service_pb2_grpc.CollectionServiceStub),
    (ingestion_service_pb2, ingestion_service_pb2_grpc.IngestionServiceStub),
    (retrieval_service_pb2, retrieval_service_pb2_grpc.RetrievalServiceStub),
    (generation_service_pb2, generation_service_pb2_grpc.GenerationServiceStub),
    (evaluation_service_pb2, evaluation_service_pb2_grpc.EvaluationServiceStub),
    (health_service_pb2, health_service_pb2_grpc.HealthServiceStub),
)
"""The module of each service with its stub class, which serves sync and asyncio channels alike."""

SAFE = (
    descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS,
    descriptor_pb2.MethodOptions.IDEMPOTENT,
)

TIMEOUTS: dict[str, float] = {
    "Ping": 5,
    "GetServerInfo": 5,
    "Check": 5,
    "GetCollection": 10,
    "ListCollections": 10,
    "CreateCollection": 30,
    "DeleteCollection": 60,
    "ReembedCollection": math.inf,
    "Query": 10,
    "BatchQuery": 30,
    "GenerateAnswer": 120,
    "StreamAnswer": 120,
    "GetDocument": 10,
    "BatchGetDocuments": 30,
    "CountDocuments": 10,
    "ListChunks": 30,
    "ListDocuments": 30,
    "IngestDocument": 60,
    "BatchIngestDocuments": 120,
    "StreamIngestDocuments": math.inf,
    "UpdateMetadata": 30,
    "DeleteDocuments": 300,
    "EvaluateRetrieval": math.inf,
    "EvaluateFaithfulness": 300,
    "MeasureIndexRecall": 300,
}
"""Seconds that a call may take, its retries and waits included. The streams have no end that could be known
before; a dead connection is noticed by keepalive."""

RETRY_POLICY: dict[str, Any] = {
    "maxAttempts": 5,  # gRPC allows no more
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: `service` is its full name, `safe` whether it may be sent again."""

    service: str
    name: str
    safe: bool


HEALTH_CHECK = "/grpc.health.v1.Health/Check"
"""Called without its stubs: grpcio-health-checking would be a dependency for two messages of one field each,
and protobuf's own wrappers look the same on the wire. Not retried, for the first answer is the true one.
"""

METHODS: dict[str, Method] = {
    method.name: Method(
        service.full_name,
        method.name,
        method.GetOptions().idempotency_level in SAFE,
    )
    for module, _ in STUBS
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
} | {"Check": Method("grpc.health.v1.Health", "Check", safe=False)}


def service_config(*, retries: bool) -> str:
    """Return gRPC's service config as JSON: a retry policy for each method that may be sent again."""
    names = [{"service": each.service, "method": each.name} for each in METHODS.values() if each.safe]
    config = {"methodConfig": [{"name": names, "retryPolicy": RETRY_POLICY}]} if retries else {}
    return json.dumps(config)


def stub_calls(channel: Any) -> dict[str, Any]:
    """Return each method's multi-callable on `channel`, sync or asyncio."""
    calls = {
        method.name: getattr(stub, method.name)
        for stub, module in ((stub_class(channel), module) for module, stub_class in STUBS)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    calls["Check"] = channel.unary_unary(
        HEALTH_CHECK,
        request_serializer=wrappers_pb2.StringValue.SerializeToString,
        response_deserializer=wrappers_pb2.Int32Value.FromString,
    )
    return calls

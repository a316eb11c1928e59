"""A caller without our client: stubs on a bare channel, and raw bytes to any method of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

from ragapi.v1 import (
    collection_service_pb2,
    collection_service_pb2_grpc,
    evaluation_service_pb2,
    evaluation_service_pb2_grpc,
    generation_service_pb2,
    health_service_pb2,
    health_service_pb2_grpc,
    ingestion_service_pb2,
    ingestion_service_pb2_grpc,
    retrieval_service_pb2,
    retrieval_service_pb2_grpc,
)

TIMEOUT = 60.0
"""Seconds after which a call counts as stuck; nothing here takes nearly so long."""

_FILES = (
    collection_service_pb2,
    evaluation_service_pb2,
    generation_service_pb2,
    health_service_pb2,
    ingestion_service_pb2,
    retrieval_service_pb2,
)


class Stubs:
    """The generated stubs of the services that are built."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.evaluation: Any = evaluation_service_pb2_grpc.EvaluationServiceStub(channel)
        self.collections: Any = collection_service_pb2_grpc.CollectionServiceStub(channel)
        self.health: Any = health_service_pb2_grpc.HealthServiceStub(channel)
        self.ingestion: Any = ingestion_service_pb2_grpc.IngestionServiceStub(channel)
        self.retrieval: Any = retrieval_service_pb2_grpc.RetrievalServiceStub(channel)


@dataclass(frozen=True)
class Rpc:
    """A method of the contract, as its descriptor has it."""

    path: str
    request: type[Message]
    response: type[Message]
    client_streaming: bool
    server_streaming: bool

    def __str__(self) -> str:
        return self.path.rpartition("/")[2]


def _rpcs() -> dict[str, Rpc]:
    found = {}
    for file in _FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                found[method.name] = Rpc(
                    f"/{service.full_name}/{method.name}",
                    GetMessageClass(method.input_type),
                    GetMessageClass(method.output_type),
                    method.client_streaming,
                    method.server_streaming,
                )
    return found


RPCS = _rpcs()
"""Every method of the contract by its name, which is unique."""


@dataclass(frozen=True)
class Answer:
    """How a call ended. `fields` are those that BadRequest names; `responses` what came before the end."""

    code: grpc.StatusCode
    message: str = ""
    reason: str = ""
    fields: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    request_id: str = ""
    responses: list[Any] = field(default_factory=list)


async def send(channel: grpc.aio.Channel, rpc: Rpc, *messages: Message | bytes) -> Answer:
    """Call a method; what is sent is not looked at, so that it may be any bytes."""
    payloads = [each if isinstance(each, bytes) else each.SerializeToString() for each in messages]
    parse = rpc.response.FromString
    kind = f"{'stream' if rpc.client_streaming else 'unary'}_{'stream' if rpc.server_streaming else 'unary'}"
    method: Any = getattr(channel, kind)(rpc.path, response_deserializer=parse)
    call = method(iter(payloads) if rpc.client_streaming else payloads[0], timeout=TIMEOUT)
    responses: list[Any] = []
    try:
        if rpc.server_streaming:
            async for response in call:
                responses.append(response)  # noqa: PERF401 # what came before an error is kept
        else:
            responses.append(await call)
    except grpc.aio.AioRpcError as error:
        return answer_of(error, responses)
    return Answer(grpc.StatusCode.OK, responses=responses)


def answer_of(error: grpc.aio.AioRpcError, responses: Sequence[Any] = ()) -> Answer:
    """Read the google.rpc.Status that a failed call carries."""
    trailing: Any = error.trailing_metadata()
    packed = dict(trailing or ()).get("grpc-status-details-bin", b"")
    status = status_pb2.Status.FromString(packed)
    info, bad, request = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RequestInfo(),
    )
    for detail in status.details:
        for wanted in (info, bad, request):
            detail.Unpack(wanted)
    return Answer(
        code=error.code(),
        message=error.details() or "",
        reason=info.reason,
        fields=tuple(violation.field for violation in bad.field_violations),
        metadata=dict(info.metadata),
        request_id=request.request_id,
        responses=list(responses),
    )

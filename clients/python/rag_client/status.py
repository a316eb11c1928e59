"""From a failed call or a failed item to its typed error.

The details are read from the trailing metadata by hand: grpcio-status would do the same at the price of a
dependency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from rag_client.errors import FieldViolation, RagClientError, error_class
from ragapi.v1 import errors_pb2

if TYPE_CHECKING:
    from ragapi.v1 import types_pb2

DETAILS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-request-id"
DOMAIN = "ragapi.v1"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def from_rpc_error(error: grpc.RpcError) -> RagClientError:
    """Return the typed error of a failed call, sync or asyncio: both kinds offer the same methods."""
    call: Any = error  # grpc types neither as a call, though each is one
    # Not dict(): the Metadata of grpc.aio has keys(), and until 1.8x they were not those of a mapping.
    trailers = {key: value for key, value in call.trailing_metadata() or ()}  # noqa: C416 - as said
    code = call.code() or grpc.StatusCode.UNKNOWN
    facts: dict[str, Any] = {"request_id": trailers.get(REQUEST_ID_KEY, "")}
    message = call.details() or "no details"
    try:
        status = status_pb2.Status.FromString(trailers.get(DETAILS_KEY, b""))
        facts.update(_details(status))
        message = status.message or message
    except DecodeError:
        pass  # a proxy's own details: the code and the text above still stand
    reason = facts.setdefault("reason", "")
    return error_class(reason, code)(message, code=code, **facts)


def from_problem(problem: types_pb2.Problem) -> RagClientError:
    """Return the typed error of one item that failed while others did not."""
    code = _CODES.get(problem.code, grpc.StatusCode.UNKNOWN)
    try:
        reason = errors_pb2.ErrorReason.Name(problem.reason).removeprefix("ERROR_REASON_")
    except ValueError:
        reason = str(problem.reason)  # of a newer server
    reason = "" if reason == "UNSPECIFIED" else reason
    delay = problem.retry_delay.ToTimedelta().total_seconds() if problem.HasField("retry_delay") else None
    return error_class(reason, code)(
        problem.message,
        code=code,
        reason=reason,
        fields=[FieldViolation(each.field, each.description) for each in problem.field_violations],
        retry_delay=delay,
        metadata=problem.metadata,
    )


def _details(status: status_pb2.Status) -> dict[str, Any]:
    """Read what this client understands of a status; other details are left alone."""
    found: dict[str, Any] = {}
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.RequestInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN:
            found.update(reason=info.reason, metadata=dict(info.metadata))
        elif detail.Unpack(request):
            found["request_id"] = request.request_id
        elif detail.Unpack(bad):
            found["fields"] = [FieldViolation(each.field, each.description) for each in bad.field_violations]
        elif detail.Unpack(retry):
            found["retry_delay"] = retry.retry_delay.ToTimedelta().total_seconds()
    return found

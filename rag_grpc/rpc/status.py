"""RagError -> what a caller sees: google.rpc.Status for a call, Problem for an item of a batch.

One table says code and reason of every error class. It is looked up along the
MRO, so a subclass is never unmapped; docs/errors.md is tested against it.

Statuses travel in trailing metadata, of which a gRPC peer takes 8 KiB by default
and then resets the stream: the caller would see a broken connection in place of
the answer. So messages and lists of bad fields are cut to a size, and say so. The
same keeps a batch of a thousand bad items below the size of a response.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from rag_grpc.core import errors
from rag_grpc.core.errors import FieldViolation, RagError
from ragapi.v1 import errors_pb2, types_pb2

DOMAIN = "ragapi.v1"
PREFIX = "ERROR_REASON_"
DETAILS_KEY = "grpc-status-details-bin"
MAX_MESSAGE_BYTES = 512
MAX_VIOLATIONS_BYTES = 1536
MAX_FIELD_BYTES = 256
MAX_VALUE_BYTES = 512
INTERNAL_MESSAGE = "a fault of the server; its log has it under this call's request id"

TrailingMetadata: TypeAlias = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """What an error class is on the wire.

    `retry` says whether the same request may succeed when it is sent again, unchanged. `resource` is the
    metadata key that names what ResourceInfo is about. `quota`: QuotaFailure goes with it.
    """

    code: grpc.StatusCode
    reason: errors_pb2.ErrorReason.ValueType
    retry: bool = False
    resource: str = ""
    quota: bool = False


_C = grpc.StatusCode

TABLE: dict[type[RagError], Row] = {
    errors.InvalidRequest: Row(_C.INVALID_ARGUMENT, errors_pb2.ERROR_REASON_INVALID_FIELD),
    errors.InvalidField: Row(_C.INVALID_ARGUMENT, errors_pb2.ERROR_REASON_INVALID_FIELD),
    errors.DimensionMismatch: Row(_C.INVALID_ARGUMENT, errors_pb2.ERROR_REASON_DIMENSION_MISMATCH),
    errors.InvalidFilter: Row(_C.INVALID_ARGUMENT, errors_pb2.ERROR_REASON_INVALID_FILTER),
    errors.CollectionNotFound: Row(
        _C.NOT_FOUND, errors_pb2.ERROR_REASON_COLLECTION_NOT_FOUND, resource="collection"
    ),
    errors.DocumentNotFound: Row(_C.NOT_FOUND, errors_pb2.ERROR_REASON_DOCUMENT_NOT_FOUND, resource="doc_id"),
    errors.CollectionExists: Row(
        _C.ALREADY_EXISTS, errors_pb2.ERROR_REASON_COLLECTION_EXISTS, resource="collection"
    ),
    errors.RevisionMismatch: Row(_C.ABORTED, errors_pb2.ERROR_REASON_REVISION_MISMATCH),
    errors.EmbedderMismatch: Row(_C.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_EMBEDDER_MISMATCH),
    errors.NotConfigured: Row(_C.FAILED_PRECONDITION, errors_pb2.ERROR_REASON_NOT_CONFIGURED),
    errors.LimitExceeded: Row(_C.RESOURCE_EXHAUSTED, errors_pb2.ERROR_REASON_LIMIT_EXCEEDED, quota=True),
    errors.RateLimited: Row(
        _C.RESOURCE_EXHAUSTED, errors_pb2.ERROR_REASON_RATE_LIMITED, retry=True, quota=True
    ),
    errors.StorageFull: Row(_C.RESOURCE_EXHAUSTED, errors_pb2.ERROR_REASON_STORAGE_FULL, retry=True),
    errors.NotReady: Row(_C.UNAVAILABLE, errors_pb2.ERROR_REASON_NOT_READY, retry=True),
    errors.WordsNotReady: Row(_C.UNAVAILABLE, errors_pb2.ERROR_REASON_NOT_READY, retry=True),
    errors.EmbedderChanged: Row(_C.UNAVAILABLE, errors_pb2.ERROR_REASON_NOT_READY, retry=True),
    errors.ModelUnavailable: Row(_C.UNAVAILABLE, errors_pb2.ERROR_REASON_MODEL_UNAVAILABLE, retry=True),
    errors.Unauthenticated: Row(_C.UNAUTHENTICATED, errors_pb2.ERROR_REASON_UNAUTHENTICATED),
    errors.PermissionDenied: Row(_C.PERMISSION_DENIED, errors_pb2.ERROR_REASON_PERMISSION_DENIED),
    errors.DeadlineExceeded: Row(_C.DEADLINE_EXCEEDED, errors_pb2.ERROR_REASON_DEADLINE_EXCEEDED, retry=True),
    errors.StorageFault: Row(_C.INTERNAL, errors_pb2.ERROR_REASON_INTERNAL),
}
FAULT = Row(_C.INTERNAL, errors_pb2.ERROR_REASON_INTERNAL)
"""The row of everything else that is raised: a fault of ours, whose text stays in the log."""


class RichStatus(grpc.Status):
    """What `ServicerContext.abort_with_status` takes: code, message and trailing metadata."""

    def __init__(self, code: grpc.StatusCode, details: str, trailing_metadata: TrailingMetadata) -> None:
        self.code = code
        self.details = details
        self.trailing_metadata = trailing_metadata


def row_of(error: BaseException) -> Row:
    """Find the row of an error's class, or of the nearest base that has one."""
    return next((TABLE[base] for base in type(error).__mro__ if base in TABLE), FAULT)


def code_of(error: BaseException) -> grpc.StatusCode:
    """Say with which code a call that raised `error` ends."""
    return row_of(error).code


def reason_of(error: BaseException) -> str:
    """Name the reason as ErrorInfo does, without the enum's prefix."""
    return errors_pb2.ErrorReason.Name(row_of(error).reason).removeprefix(PREFIX)


def status_of(error: BaseException, request_id: str = "") -> status_pb2.Status:
    """Make the whole status of a call that raised `error`."""
    row = row_of(error)
    status = status_pb2.Status(code=row.code.value[0], message=_message(error, row))
    status.details.extend(_packed(detail) for detail in _details(error, row, request_id))
    return status


def rich_status(error: BaseException, request_id: str = "", *trailing: tuple[str, str | bytes]) -> RichStatus:
    """Make what `abort_with_status` takes; `trailing` is sent beside the details.

    Whatever was set as trailing metadata before is lost in an abort, so it is to be given again here.
    """
    status = status_of(error, request_id)
    return RichStatus(
        row_of(error).code, status.message, (*trailing, (DETAILS_KEY, status.SerializeToString()))
    )


def problem_of(error: BaseException) -> types_pb2.Problem:
    """Make the problem of one item that failed with `error`."""
    row = row_of(error)
    problem = types_pb2.Problem(code=row.code.value[0], reason=row.reason, message=_message(error, row))
    if isinstance(error, RagError):
        problem.field_violations.extend(
            types_pb2.FieldViolation(field=each.field, description=each.description)
            for each in _cut_violations(error.violations)
        )
        problem.metadata.update(_metadata(error))
        if error.retry_after is not None:
            problem.retry_delay.CopyFrom(_duration(error.retry_after))
    return problem


def cut(text: str, size: int) -> str:
    """Shorten `text` to `size` bytes of UTF-8; what was shortened ends in three dots.

    Surrogates, which no message can carry, become question marks.
    """
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= size:
        return encoded.decode()
    return encoded[: max(size - 3, 0)].decode("utf-8", "ignore") + "..."


def _message(error: BaseException, row: Row) -> str:
    # What a fault says of itself may name files, SQL or texts: that is for the log alone.
    if row.code is _C.INTERNAL or not isinstance(error, RagError):
        return INTERNAL_MESSAGE
    return cut(error.message, MAX_MESSAGE_BYTES)


def _metadata(error: RagError) -> dict[str, str]:
    if row_of(error).code is _C.INTERNAL:
        return {}
    return {key: cut(value, MAX_VALUE_BYTES) for key, value in error.metadata.items()}


def _details(error: BaseException, row: Row, request_id: str) -> list[Message]:
    reason = errors_pb2.ErrorReason.Name(row.reason).removeprefix(PREFIX)
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)
    details: list[Message] = [info, error_details_pb2.RequestInfo(request_id=request_id)]
    if not isinstance(error, RagError):
        return details
    metadata = _metadata(error)
    info.metadata.update(metadata)
    if error.violations:
        details.append(_bad_request(error.violations))
    if error.retry_after is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=_duration(error.retry_after)))
    if row.quota:
        quota = error_details_pb2.QuotaFailure()
        quota.violations.add(subject=metadata.get("limit", ""), description=_message(error, row))
        details.append(quota)
    if row.resource in metadata:
        details.append(
            error_details_pb2.ResourceInfo(resource_type=row.resource, resource_name=metadata[row.resource])
        )
    return details


def _bad_request(violations: Sequence[FieldViolation]) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    for each in _cut_violations(violations):
        request.field_violations.add(field=each.field, description=each.description)
    return request


def _cut_violations(violations: Sequence[FieldViolation]) -> list[FieldViolation]:
    kept: list[FieldViolation] = []
    room = MAX_VIOLATIONS_BYTES
    for each in violations:
        short = FieldViolation(cut(each.field, MAX_FIELD_BYTES), cut(each.description, MAX_VALUE_BYTES))
        room -= len(short.field.encode()) + len(short.description.encode()) + 8
        if room < 0:
            more = f"and {len(violations) - len(kept)} more, from here on"
            kept.append(FieldViolation(short.field, more))
            break
        kept.append(short)
    return kept


def _duration(seconds: float) -> Duration:
    nanoseconds = max(0, round(seconds * 1e9))
    return Duration(seconds=nanoseconds // 10**9, nanos=nanoseconds % 10**9)


def _packed(detail: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed

"""What can go wrong, as a tree of exceptions that mirrors the contract's ErrorReason.

    RagClientError
        InvalidArgumentError        InvalidFieldError, InvalidFilterError, DimensionMismatchError
        NotFoundError               CollectionNotFoundError, DocumentNotFoundError
        AlreadyExistsError          CollectionExistsError
        AbortedError                RevisionMismatchError
        FailedPreconditionError     EmbedderMismatchError, NotConfiguredError
        ResourceExhaustedError      LimitExceededError, RateLimitedError, StorageFullError
        UnavailableError            NotReadyError, ModelUnavailableError
        UnauthenticatedError, PermissionDeniedError, DeadlineExceededError, InternalError
        UnimplementedError, CallCancelledError

The middle column stands for status codes: catch it to be ready for a reason that a newer server has and this
client does not know. What gRPC itself fails carries no reason and becomes the class of its code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import grpc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field that breaks its rule: its path in the request, and what would be right."""

    field: str
    description: str


class RagClientError(Exception):
    """A call, or one item of a batch, that failed.

    `code` is the gRPC status, `reason` the name of the ErrorReason without its prefix ("" where gRPC itself
    failed), `fields` every field at fault, `retry_delay` the seconds after which to come back, `metadata`
    what ErrorInfo adds (say, `current_revision`), `request_id` what the server's log calls this request.
    """

    status: ClassVar[grpc.StatusCode | None] = None
    known_reason: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str | None = None,
        fields: Iterable[FieldViolation] = (),
        retry_delay: float | None = None,
        metadata: Mapping[str, str] | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.status or grpc.StatusCode.UNKNOWN
        self.reason = self.known_reason if reason is None else reason
        self.fields = tuple(fields)
        self.retry_delay = retry_delay
        self.metadata = dict(metadata or {})
        self.request_id = request_id

    def __str__(self) -> str:
        text = f"{self.reason or self.code.name}: {self.message}"
        for violation in self.fields:
            text += f"; {violation.field}: {violation.description}"
        return f"{text} (request {self.request_id})" if self.request_id else text


class InvalidArgumentError(RagClientError):
    """The request cannot be right, whatever the state of the server."""

    status = grpc.StatusCode.INVALID_ARGUMENT


class InvalidFieldError(InvalidArgumentError):
    """Fields break their rules; `fields` names every one."""

    known_reason = "INVALID_FIELD"


class InvalidFilterError(InvalidArgumentError):
    """The filter does not parse; `metadata["position"]` says where."""

    known_reason = "INVALID_FILTER"


class DimensionMismatchError(InvalidArgumentError):
    """A vector's length is not the collection's dimension."""

    known_reason = "DIMENSION_MISMATCH"


class NotFoundError(RagClientError):
    """What the request names is not there."""

    status = grpc.StatusCode.NOT_FOUND


class CollectionNotFoundError(NotFoundError):
    """No such collection."""

    known_reason = "COLLECTION_NOT_FOUND"


class DocumentNotFoundError(NotFoundError):
    """No such document."""

    known_reason = "DOCUMENT_NOT_FOUND"


class AlreadyExistsError(RagClientError):
    """What the request would make is there already, and different."""

    status = grpc.StatusCode.ALREADY_EXISTS


class CollectionExistsError(AlreadyExistsError):
    """A collection of that name exists with another configuration."""

    known_reason = "COLLECTION_EXISTS"


class AbortedError(RagClientError):
    """Somebody else was faster. Read, then decide."""

    status = grpc.StatusCode.ABORTED


class RevisionMismatchError(AbortedError):
    """The document has another revision: `metadata["current_revision"]`."""

    known_reason = "REVISION_MISMATCH"


class FailedPreconditionError(RagClientError):
    """Not with the server or the collection as it is."""

    status = grpc.StatusCode.FAILED_PRECONDITION


class EmbedderMismatchError(FailedPreconditionError):
    """The collection was written with another embedder."""

    known_reason = "EMBEDDER_MISMATCH"


class NotConfiguredError(FailedPreconditionError):
    """This server has no such capability configured."""

    known_reason = "NOT_CONFIGURED"


class ResourceExhaustedError(RagClientError):
    """Too much, or no room."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED


class LimitExceededError(ResourceExhaustedError):
    """More at once than the server's limits allow. Split the request."""

    known_reason = "LIMIT_EXCEEDED"


class RateLimitedError(ResourceExhaustedError):
    """Too many calls. Come back after `retry_delay` seconds."""

    known_reason = "RATE_LIMITED"


class StorageFullError(ResourceExhaustedError):
    """No room on the server's disk. Reads go on, writes are refused."""

    known_reason = "STORAGE_FULL"


class UnavailableError(RagClientError):
    """Nobody answered, or not now. Where the call is idempotent, send it again."""

    status = grpc.StatusCode.UNAVAILABLE


class NotReadyError(UnavailableError):
    """The server is starting, draining or overloaded."""

    known_reason = "NOT_READY"


class ModelUnavailableError(UnavailableError):
    """An embedding or language model did not answer."""

    known_reason = "MODEL_UNAVAILABLE"


class UnauthenticatedError(RagClientError):
    """No credentials, or wrong ones."""

    status = grpc.StatusCode.UNAUTHENTICATED
    known_reason = "UNAUTHENTICATED"


class PermissionDeniedError(RagClientError):
    """These credentials may not do that."""

    status = grpc.StatusCode.PERMISSION_DENIED
    known_reason = "PERMISSION_DENIED"


class DeadlineExceededError(RagClientError):
    """The deadline passed. Whether a write was done is not known."""

    status = grpc.StatusCode.DEADLINE_EXCEEDED
    known_reason = "DEADLINE_EXCEEDED"


class InternalError(RagClientError):
    """A fault of the server, in its log under `request_id`."""

    status = grpc.StatusCode.INTERNAL
    known_reason = "INTERNAL"


class UnimplementedError(RagClientError):
    """The server does not know this call: it is older, or no rag-grpc server."""

    status = grpc.StatusCode.UNIMPLEMENTED


class CallCancelledError(RagClientError):
    """The call was cancelled, most likely because its client was closed."""

    status = grpc.StatusCode.CANCELLED


def _tree(root: type[RagClientError]) -> list[type[RagClientError]]:
    return [root, *(found for child in root.__subclasses__() for found in _tree(child))]


_BY_REASON = {error.known_reason: error for error in _tree(RagClientError) if error.known_reason}
_BY_CODE = {
    error.__dict__["status"]: error for error in _tree(RagClientError) if error.__dict__.get("status")
}


def error_class(reason: str, code: grpc.StatusCode) -> type[RagClientError]:
    """Return the class of a reason, or of its code where the reason is unknown to this client."""
    return _BY_REASON.get(reason) or _BY_CODE.get(code, RagClientError)

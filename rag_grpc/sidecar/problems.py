"""RagError -> what the page is told: an HTTP status, and the contract's own reason as JSON.

The reasons are those that callers of gRPC know, docs/errors.md lists them. The table
is looked up along the MRO, so that a new error class is never unmapped.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from rag_grpc.core import errors
from rag_grpc.core.errors import RagError

_S = HTTPStatus
TABLE: dict[type[RagError], tuple[HTTPStatus, str]] = {
    errors.InvalidRequest: (_S.BAD_REQUEST, "INVALID_FIELD"),
    errors.DimensionMismatch: (_S.BAD_REQUEST, "DIMENSION_MISMATCH"),
    errors.InvalidFilter: (_S.BAD_REQUEST, "INVALID_FILTER"),
    errors.CollectionNotFound: (_S.NOT_FOUND, "COLLECTION_NOT_FOUND"),
    errors.DocumentNotFound: (_S.NOT_FOUND, "DOCUMENT_NOT_FOUND"),
    errors.CollectionExists: (_S.CONFLICT, "COLLECTION_EXISTS"),
    errors.RevisionMismatch: (_S.CONFLICT, "REVISION_MISMATCH"),
    errors.EmbedderMismatch: (_S.CONFLICT, "EMBEDDER_MISMATCH"),
    errors.NotConfigured: (_S.CONFLICT, "NOT_CONFIGURED"),
    errors.LimitExceeded: (_S.REQUEST_ENTITY_TOO_LARGE, "LIMIT_EXCEEDED"),
    errors.RateLimited: (_S.TOO_MANY_REQUESTS, "RATE_LIMITED"),
    errors.StorageFull: (_S.INSUFFICIENT_STORAGE, "STORAGE_FULL"),
    errors.NotReady: (_S.SERVICE_UNAVAILABLE, "NOT_READY"),
    errors.ModelUnavailable: (_S.BAD_GATEWAY, "MODEL_UNAVAILABLE"),
    errors.Unauthenticated: (_S.UNAUTHORIZED, "UNAUTHENTICATED"),
    errors.PermissionDenied: (_S.FORBIDDEN, "PERMISSION_DENIED"),
    errors.DeadlineExceeded: (_S.GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
    errors.StorageFault: (_S.INTERNAL_SERVER_ERROR, "INTERNAL"),
}
FAULT = (_S.INTERNAL_SERVER_ERROR, "INTERNAL")


def status_of(error: BaseException) -> HTTPStatus:
    """Say with which status a request that raised `error` ends."""
    return _row(error)[0]


def reason_of(error: BaseException) -> str:
    """Name the reason as the contract does."""
    return _row(error)[1]


def problem_of(error: BaseException) -> dict[str, Any]:
    """Tell people and the page what went wrong. Of a fault of ours nothing is told but that it was one."""
    reason = reason_of(error)
    if not isinstance(error, RagError) or reason == "INTERNAL":
        return {"reason": reason, "message": "a fault of the server; its log has it"}
    problem: dict[str, Any] = {"reason": reason, "message": error.message}
    if error.violations:
        problem["fields"] = [
            {"field": each.field, "description": each.description} for each in error.violations
        ]
    if error.retry_after is not None:
        problem["retry_after"] = error.retry_after
    return problem


def _row(error: BaseException) -> tuple[HTTPStatus, str]:
    return next((TABLE[base] for base in type(error).__mro__ if base in TABLE), FAULT)

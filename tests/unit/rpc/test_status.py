"""Errors become statuses and problems that a caller can act on."""

from __future__ import annotations

from typing import TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core import errors
from rag_grpc.core.errors import FieldViolation, InvalidField, LimitExceeded, NotReady, RagError
from rag_grpc.core.limits import Limits
from rag_grpc.rpc.status import (
    DETAILS_KEY,
    INTERNAL_MESSAGE,
    MAX_MESSAGE_BYTES,
    code_of,
    cut,
    problem_of,
    reason_of,
    rich_status,
    status_of,
)
from ragapi.v1 import errors_pb2

M = TypeVar("M", bound=Message)


def details(status: status_pb2.Status, kind: type[M]) -> list[M]:
    found: list[M] = []
    for packed in status.details:
        message = kind()
        if packed.Unpack(message):
            found.append(message)
    return found


def test_a_status_says_reason_domain_and_request() -> None:
    status = status_of(errors.RevisionMismatch("d", expected=1, current=7), "req-1")
    (info,) = details(status, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == ("REVISION_MISMATCH", "ragapi.v1")
    assert info.metadata["current_revision"] == "7"
    assert details(status, error_details_pb2.RequestInfo)[0].request_id == "req-1"
    assert status.code == grpc.StatusCode.ABORTED.value[0]


def test_every_bad_field_is_named() -> None:
    violations = [
        FieldViolation("document.doc_id", "is required"),
        FieldViolation("document.text", "is empty"),
    ]
    status = status_of(InvalidField.of(violations))
    (bad,) = details(status, error_details_pb2.BadRequest)
    assert [(each.field, each.description) for each in bad.field_violations] == [
        ("document.doc_id", "is required"),
        ("document.text", "is empty"),
    ]


def test_when_to_come_back_is_told() -> None:
    (retry,) = details(status_of(NotReady("later", retry_after=2.5)), error_details_pb2.RetryInfo)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (2, 500_000_000)
    assert problem_of(NotReady("later", retry_after=2.5)).retry_delay == retry.retry_delay


def test_what_was_not_found_is_named_as_a_resource() -> None:
    (resource,) = details(status_of(errors.DocumentNotFound("c", "d")), error_details_pb2.ResourceInfo)
    assert (resource.resource_type, resource.resource_name) == ("doc_id", "d")


def test_a_limit_is_a_quota_with_its_name() -> None:
    error = LimitExceeded("too many", metadata={"limit": "max_top_k"})
    (quota,) = details(status_of(error), error_details_pb2.QuotaFailure)
    assert (quota.violations[0].subject, quota.violations[0].description) == ("max_top_k", "too many")


@pytest.mark.parametrize(
    "fault",
    [ValueError("SELECT secret"), errors.StorageFault("disk I/O error in /srv/data", metadata={"a": "b"})],
)
def test_a_fault_of_the_server_shows_nothing_of_itself(fault: Exception) -> None:
    status = status_of(fault, "req-1")
    assert status.message == INTERNAL_MESSAGE
    assert b"secret" not in status.SerializeToString()
    assert b"/srv/data" not in status.SerializeToString()
    assert code_of(fault) is grpc.StatusCode.INTERNAL
    assert reason_of(fault) == "INTERNAL"
    assert problem_of(fault).message == INTERNAL_MESSAGE
    assert not problem_of(fault).metadata


def test_a_new_subclass_has_its_bases_row() -> None:
    class TooCold(NotReady):
        pass

    assert code_of(TooCold("brr")) is grpc.StatusCode.UNAVAILABLE
    assert reason_of(TooCold("brr")) == "NOT_READY"


def test_the_rich_status_carries_details_beside_what_was_given() -> None:
    rich = rich_status(NotReady("later"), "req-1", ("x-request-id", "req-1"))
    assert rich.code is grpc.StatusCode.UNAVAILABLE
    assert rich.trailing_metadata[0] == ("x-request-id", "req-1")
    key, value = rich.trailing_metadata[1]
    assert key == DETAILS_KEY
    assert status_pb2.Status.FromString(value).message == "later"


def test_a_problem_is_what_a_status_would_have_been() -> None:
    error = LimitExceeded(
        "too long", violations=[FieldViolation("title", "is too long")], metadata={"limit": "max_top_k"}
    )
    problem = problem_of(error)
    assert problem.code == status_of(error).code
    assert problem.reason == errors_pb2.ERROR_REASON_LIMIT_EXCEEDED
    assert problem.message == "too long"
    assert dict(problem.metadata) == {"limit": "max_top_k"}
    assert [each.field for each in problem.field_violations] == ["title"]


@given(
    message=st.text(max_size=3000),
    fields=st.lists(st.tuples(st.text(max_size=700), st.text(max_size=700)), max_size=60),
    value=st.text(max_size=3000),
)
def test_no_status_outgrows_trailing_metadata(
    message: str, fields: list[tuple[str, str]], value: str
) -> None:
    error = LimitExceeded(
        message,
        violations=[FieldViolation(field, text) for field, text in fields],
        metadata={"limit": value},
        retry_after=1.0,
    )
    rich = rich_status(error, "req-1")
    in_headers = (
        len(rich.details.encode()) * 3 + sum(len(value) for _, value in rich.trailing_metadata) * 4 / 3
    )
    assert in_headers < 8000
    assert len(rich.details.encode()) <= MAX_MESSAGE_BYTES
    # A thousand of them, each with its document's id, fit one response.
    assert 1000 * (problem_of(error).ByteSize() + 512 + 32) < Limits().max_response_bytes


def test_violations_that_do_not_fit_are_counted() -> None:
    error = InvalidField.of(
        [FieldViolation(f"items[{i}].document.doc_id", "is required") for i in range(500)]
    )
    named = problem_of(error).field_violations
    assert 20 < len(named) < 60
    assert named[-1].description == f"and {500 - len(named) + 1} more, from here on"


@given(text=st.text(), size=st.integers(min_value=3, max_value=40))
def test_cut_text_fits_and_begins_as_it_did(text: str, size: int) -> None:
    short = cut(text, size)
    assert len(short.encode()) <= size
    assert short == text or text.encode().startswith(short.removesuffix("...").encode())


def test_the_base_of_all_errors_is_a_fault() -> None:
    assert code_of(RagError("?")) is grpc.StatusCode.INTERNAL

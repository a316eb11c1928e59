from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from clients.python.tests.scripted_server import BROKEN, Failure
from rag_client import errors
from rag_client.errors import RagClientError, error_class
from rag_client.status import from_problem
from ragapi.v1 import errors_pb2, types_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients.python.tests.scripted_server import ScriptedServer

REASONS = [
    name.removeprefix("ERROR_REASON_")
    for name, number in errors_pb2.ErrorReason.items()
    if number != errors_pb2.ERROR_REASON_UNSPECIFIED
]


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_class_of_its_own(reason: str) -> None:
    error = error_class(reason, grpc.StatusCode.UNKNOWN)("why")
    assert error.reason == reason
    assert error.code == type(error).status
    assert error.code is not grpc.StatusCode.UNKNOWN
    assert type(error) is not RagClientError


def test_no_two_classes_claim_one_reason() -> None:
    classes = [error_class(reason, grpc.StatusCode.UNKNOWN) for reason in REASONS]
    assert len(set(classes)) == len(REASONS)
    assert {cls.__name__ for cls in classes} <= set(dir(errors))


def test_an_unknown_reason_is_the_class_of_its_code() -> None:
    assert error_class("OF_TOMORROW", grpc.StatusCode.NOT_FOUND) is errors.NotFoundError
    assert error_class("OF_TOMORROW", grpc.StatusCode.DATA_LOSS) is RagClientError


def test_a_status_carries_all_of_its_details(server: ScriptedServer, ask: Callable[..., Any]) -> None:
    server.fail(
        "Query",
        Failure(
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
            "fields are wrong",
            fields={"top_k": "at most 1000", "vector": "384 numbers"},
            retry_delay=1.5,
            metadata={"limit": "1000"},
        ),
    )
    with pytest.raises(errors.InvalidFieldError) as caught:
        ask("query", "hello", top_k=5000)
    error = caught.value
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "INVALID_FIELD"
    assert [(each.field, each.description) for each in error.fields] == [
        ("top_k", "at most 1000"),
        ("vector", "384 numbers"),
    ]
    assert error.retry_delay == 1.5
    assert error.metadata == {"limit": "1000"}
    assert error.request_id == "req-1"
    assert str(error) == (
        "INVALID_FIELD: fields are wrong; top_k: at most 1000; vector: 384 numbers (request req-1)"
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNIMPLEMENTED, errors.UnimplementedError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceededError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.ResourceExhaustedError),
        (grpc.StatusCode.UNKNOWN, RagClientError),
    ],
)
def test_what_grpc_itself_fails_is_the_class_of_its_code(
    server: ScriptedServer,
    ask: Callable[..., Any],
    code: grpc.StatusCode,
    expected: type[RagClientError],
) -> None:
    server.fail("Ping", Failure(code))
    with pytest.raises(RagClientError) as caught:
        ask("ping")
    assert type(caught.value) is expected
    assert (caught.value.code, caught.value.reason, caught.value.message) == (code, "", "said so")


def test_a_server_that_is_not_there_is_unavailable(ask: Callable[..., Any]) -> None:
    ask.target = "127.0.0.1:1"  # type: ignore[attr-defined]  # the fixture's type is its call
    with pytest.raises(errors.UnavailableError):
        ask("ping", client={"retries": False})


def test_a_deadline_is_kept(server: ScriptedServer, ask: Callable[..., Any]) -> None:
    server.fail("Ping", *[BROKEN] * 20)
    with pytest.raises((errors.DeadlineExceededError, errors.UnavailableError)):
        ask("ping", timeout=0.05)
    assert 0 < server.time_remaining[0] < 0.5  # type: ignore[operator]  # None fails the test as it should


def test_details_of_somebody_else_leave_code_and_text() -> None:
    class Foreign(grpc.RpcError):
        def trailing_metadata(self) -> Any:
            return (("grpc-status-details-bin", b"\xff\xff\xff"),)

        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.PERMISSION_DENIED

        def details(self) -> str:
            return "the proxy says no"

    from rag_client.status import from_rpc_error

    error = from_rpc_error(Foreign())
    assert type(error) is errors.PermissionDeniedError
    assert (error.reason, error.message) == ("", "the proxy says no")


def test_a_problem_of_one_item_is_the_same_error() -> None:
    problem = types_pb2.Problem(
        code=10,
        reason=errors_pb2.ERROR_REASON_REVISION_MISMATCH,
        message="another revision",
        metadata={"current_revision": "5"},
    )
    problem.retry_delay.FromMilliseconds(250)
    problem.field_violations.add(field="expected_revision", description="5")
    error = from_problem(problem)
    assert type(error) is errors.RevisionMismatchError
    assert error.metadata == {"current_revision": "5"}
    assert error.retry_delay == 0.25
    assert error.fields == (errors.FieldViolation("expected_revision", "5"),)


def test_a_problem_of_a_newer_server_keeps_its_code() -> None:
    error = from_problem(types_pb2.Problem(code=9, reason=99, message="new"))  # type: ignore[arg-type]  # not yet known
    assert type(error) is errors.FailedPreconditionError
    assert error.reason == "99"


@pytest.mark.parametrize("reason", REASONS)
def test_the_readme_names_every_reason_with_its_class_and_base(reason: str) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    error = error_class(reason, grpc.StatusCode.UNKNOWN)
    assert f"| `{reason}` | `{error.__name__}` | `{error.__mro__[1].__name__}` |" in readme

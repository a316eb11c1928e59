"""The page is told the contract's own reasons."""

from http import HTTPStatus

import pytest

from rag_grpc.core import errors
from rag_grpc.core.errors import FieldViolation, InvalidField, NotReady, RagError, StorageFault
from rag_grpc.rpc import status
from rag_grpc.sidecar.problems import TABLE, problem_of, reason_of, status_of

CLASSES = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, RagError)]


@pytest.mark.parametrize("error", [each for each in CLASSES if each is not RagError])
def test_each_error_has_the_reason_that_callers_of_grpc_get(error: type[RagError]) -> None:
    raised = error.__new__(error)
    assert reason_of(raised) == status.reason_of(raised)


def test_no_row_is_for_nothing() -> None:
    assert set(TABLE) <= set(CLASSES)


def test_people_are_told_what_is_wrong_and_when_to_come_back() -> None:
    wrong = InvalidField.of([FieldViolation("top_k", "is too much")])
    assert problem_of(wrong) == {
        "reason": "INVALID_FIELD",
        "message": "top_k: is too much",
        "fields": [{"field": "top_k", "description": "is too much"}],
    }
    assert problem_of(NotReady("it loads")) == {
        "reason": "NOT_READY",
        "message": "it loads",
        "retry_after": 1.0,
    }


@pytest.mark.parametrize("fault", [ValueError("secret words"), StorageFault("secret words")])
def test_a_fault_of_ours_stays_in_the_log(fault: Exception) -> None:
    assert "secret" not in str(problem_of(fault))
    assert (status_of(fault), reason_of(fault)) == (HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL")

"""What an answer may be at all: the contract's own table of reasons and codes, and a check against it."""

from __future__ import annotations

import re
from pathlib import Path

import grpc

from ragapi.v1 import errors_pb2
from ragapi.v1.types_pb2 import Problem
from tests.e2e.bare_client import Answer

ERRORS_PROTO = Path(__file__).parents[2] / "proto" / "ragapi" / "v1" / "errors.proto"
CODES = {
    reason: grpc.StatusCode[code]
    for code, reason in re.findall(
        r"// ([A-Z_]+): (?:[^;]|\n)*?ERROR_REASON_(\w+) =", ERRORS_PROTO.read_text()
    )
}
"""Which code goes with which reason: as the contract says it, not as the code does."""


def check(answer: Answer, sent: object) -> None:
    """An answer is the contract's: a known reason with its code, and never a fault of the server."""
    if answer.code is grpc.StatusCode.OK:
        return
    assert answer.reason in CODES, f"{sent}: {answer}"
    assert answer.code is CODES[answer.reason], f"{sent}: {answer}"
    assert answer.reason != "INTERNAL", f"{sent}: {answer}"
    assert answer.request_id, f"{sent}: {answer}"


def check_problem(problem: Problem, sent: object) -> Answer:
    """The problem of an item is what a call of its own would have carried."""
    (code,) = (each for each in grpc.StatusCode if each.value[0] == problem.code)
    answer = Answer(
        code=code,
        reason=errors_pb2.ErrorReason.Name(problem.reason).removeprefix("ERROR_REASON_"),
        fields=tuple(violation.field for violation in problem.field_violations),
        request_id="that of the call",
    )
    check(answer, sent)
    return answer

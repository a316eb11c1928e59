"""The table of errors, the proto's enum and docs/errors.md say the same."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest

from rag_grpc.core import errors
from rag_grpc.core.errors import RagError
from rag_grpc.rpc.status import FAULT, PREFIX, TABLE, Row
from ragapi.v1 import errors_pb2

ROOT = Path(__file__).resolve().parents[2]
PROTO = (ROOT / "proto/ragapi/v1/errors.proto").read_text(encoding="utf-8")
PAGE = (ROOT / "docs/errors.md").read_text(encoding="utf-8")

# Reasons that no error of this release has; each says what will bring it.
LATER: dict[str, str] = {}


def all_subclasses(base: type[RagError]) -> set[type[RagError]]:
    return {base, *(each for child in base.__subclasses__() for each in all_subclasses(child))} - {RagError}


def reason_names() -> list[str]:
    names = [value.name.removeprefix(PREFIX) for value in errors_pb2.ErrorReason.DESCRIPTOR.values]
    return [name for name in names if name != "UNSPECIFIED"]


def rows_by_reason() -> dict[str, Row]:
    rows = {errors_pb2.ErrorReason.Name(row.reason).removeprefix(PREFIX): row for row in TABLE.values()}
    return rows | {"INTERNAL": FAULT}


def codes_in_proto() -> dict[str, str]:
    """Read the code that the comment above each enum value begins with."""
    values = re.findall(r"((?:  //[^\n]*\n)+)  ERROR_REASON_(\w+) = \d+;", PROTO)
    return {
        name: match.group(1)
        for comment, name in values
        if (match := re.match(r"  // ([A-Z_]+):", comment)) is not None
    }


@pytest.mark.parametrize("error", sorted(all_subclasses(RagError), key=str))
def test_every_error_class_of_the_core_has_a_row(error: type[RagError]) -> None:
    if error.__module__ == errors.__name__:
        assert error in TABLE


def test_every_row_has_the_code_that_the_proto_names() -> None:
    assert {name: row.code.name for name, row in rows_by_reason().items()} == codes_in_proto()


def test_rows_of_one_reason_have_one_code() -> None:
    codes: dict[int, set[grpc.StatusCode]] = {}
    for row in [*TABLE.values(), FAULT]:
        codes.setdefault(row.reason, set()).add(row.code)
    assert all(len(each) == 1 for each in codes.values())


@pytest.mark.parametrize("reason", reason_names())
def test_every_reason_is_reachable_or_known_to_come_later(reason: str) -> None:
    assert (reason in rows_by_reason()) != (reason in LATER)


def test_the_page_has_a_row_for_every_reason_with_its_code_and_retry() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines()
        if line.startswith("| `")
    ]
    written = {row[0].strip("`"): (row[1], row[4]) for row in rows}
    table = {name: (row.code.name, "yes" if row.retry else "no") for name, row in rows_by_reason().items()}
    assert written == table
    assert [row[0].strip("`") for row in rows] != []
    assert all(len(row) == 5 and row[2] and row[3] for row in rows)

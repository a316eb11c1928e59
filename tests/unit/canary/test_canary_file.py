"""The canary's file is read again when it changes, and a bad version changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rag_grpc import canary_file as module
from rag_grpc.canary_file import CanaryFile, canary_file
from rag_grpc.core.golden_set import GoldenSetFault
from rag_grpc.environment import SettingsFault
from rag_grpc.settings import Settings

FIRST = '{"query": "first", "relevance": {"a": 1}}\n'
SECOND = '{"query": "second", "relevance": {"b": 1}}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "canary.jsonl"
    path.write_text(FIRST)
    return path


def asked(file: CanaryFile) -> list[str]:
    return [question.query for question in file.questions]


def test_a_file_that_changes_is_read_again(path: Path) -> None:
    file = CanaryFile(path)
    file.read()
    assert asked(file) == ["first"]
    stat = path.stat()
    path.write_text(FIRST.replace("first", "other"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # a change that its times and size do not show
    file.read()
    assert asked(file) == ["other"]
    swapped = path.with_name("new")
    swapped.write_text(FIRST + SECOND)
    swapped.replace(path)
    file.read()
    assert asked(file) == ["first", "second"]


def test_a_file_that_did_not_change_is_not_taken_apart_again(path: Path) -> None:
    file = CanaryFile(path)
    file.read()
    before = file.questions
    file.read()
    assert file.questions is before


@pytest.mark.parametrize("wrong", [b"no\n", b"", b"\xff\xfe", None])
def test_a_bad_version_is_refused_and_the_one_before_stays(path: Path, wrong: bytes | None) -> None:
    file = CanaryFile(path)
    file.read()
    if wrong is None:
        path.unlink()
    else:
        path.write_bytes(wrong)
    for _ in range(2):  # it is as bad the second time
        with pytest.raises(GoldenSetFault):
            file.read()
    assert asked(file) == ["first"]
    path.write_text(SECOND)
    file.read()
    assert asked(file) == ["second"]


def test_a_mark_of_byte_order_is_no_fault(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + FIRST.encode())
    file = CanaryFile(path)
    file.read()
    assert asked(file) == ["first"]


def test_a_file_that_is_too_large_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    with pytest.raises(GoldenSetFault, match="has more than 10 bytes"):
        CanaryFile(path).read()


def test_settings_that_name_no_file_make_none() -> None:
    assert canary_file(Settings()) is None


def test_settings_that_name_a_bad_file_are_at_fault(path: Path) -> None:
    path.write_text("[]\n{}\n")
    with pytest.raises(SettingsFault) as caught:
        canary_file(Settings(canary_file=path))
    assert caught.value.faults == [
        "RAG_CANARY_FILE: line 1: is no JSON object",
        "RAG_CANARY_FILE: line 2: query is missing; relevance is missing",
    ]
    missing = path.with_name("missing")
    with pytest.raises(SettingsFault) as caught:
        canary_file(Settings(canary_file=missing))
    assert caught.value.faults == [
        f"RAG_CANARY_FILE: {str(missing)!r} cannot be read: No such file or directory"
    ]

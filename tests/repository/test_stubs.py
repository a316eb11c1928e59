"""The committed stubs: current, and runnable with the oldest libraries that the client allows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ragapi.v1 import retrieval_service_pb2, retrieval_service_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
STUBS = ROOT / "clients/python/ragapi/v1"
BUF = Path(sys.executable).with_name("buf")
PROTO_PYTHON = ROOT / ".venv-proto/bin/python"


def floors() -> dict[str, str]:
    project = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = (re.match(r"([\w-]+)>=([\d.]+)", each) for each in project["dependencies"])
    return {match.group(1): match.group(2) for match in found if match is not None}


def test_the_client_allows_the_protobuf_that_the_stubs_were_made_for() -> None:
    written = set()
    for path in STUBS.glob("*_pb2.py"):
        found = re.search(r"# Protobuf Python Version: ([\d.]+)", path.read_text(encoding="utf-8"))
        assert found is not None, path.name
        written.add(found.group(1))
    assert written == {floors()["protobuf"]}


def test_the_client_allows_the_grpcio_that_the_stubs_were_made_for() -> None:
    written = set()
    for path in STUBS.glob("*_pb2_grpc.py"):
        found = re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", path.read_text(encoding="utf-8"))
        assert found is not None, path.name
        written.add(found.group(1))
    assert written == {floors()["grpcio"]}
    assert floors()["grpcio"] == retrieval_service_pb2_grpc.GRPC_GENERATED_VERSION


def test_every_proto_has_its_stubs() -> None:
    protos = {path.stem for path in (ROOT / "proto/ragapi/v1").glob("*.proto")}
    for ending in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi"):
        assert {path.name.removesuffix(ending) for path in STUBS.glob(f"*{ending}")} == protos


def test_the_import_path_is_the_proto_path() -> None:
    assert retrieval_service_pb2.DESCRIPTOR.name == "ragapi/v1/retrieval_service.proto"
    assert retrieval_service_pb2.__name__ == "ragapi.v1.retrieval_service_pb2"


@pytest.mark.skipif(
    not PROTO_PYTHON.exists() and os.environ.get("CI") != "true",
    reason="the pinned compiler is not installed: `make proto-check` installs it and checks the same",
)
@pytest.mark.slow
def test_the_stubs_are_those_of_the_protos() -> None:
    result = subprocess.run(
        [PROTO_PYTHON, ROOT / "tools/generate_stubs.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def buf(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *arguments], cwd=where, capture_output=True, text=True, check=False)


def test_buf_finds_nothing_in_the_protos() -> None:
    result = buf(ROOT, "lint")
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("string doc_id = 1;", "string document_id = 1;", 'changed name from "doc_id" to "document_id"'),
        ("string doc_id = 1;", "string doc_id = 99;", 'Previously present field "1"'),
        ("uint32 chunk_count = 10;", "string chunk_count = 10;", 'changed type from "uint32" to "string"'),
    ],
)
def test_a_change_that_breaks_callers_is_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    for folder in ("before", "after"):
        shutil.copytree(ROOT / "proto", tmp_path / folder / "proto")
        shutil.copy(ROOT / "buf.yaml", tmp_path / folder)
    changed = tmp_path / "after/proto/ragapi/v1/types.proto"
    text = changed.read_text(encoding="utf-8")
    assert old in text
    against = str(tmp_path / "before")
    assert buf(tmp_path / "after", "breaking", "--against", against).returncode == 0
    changed.write_text(text.replace(old, new, 1), encoding="utf-8")
    result = buf(tmp_path / "after", "breaking", "--against", against)
    assert result.returncode != 0
    assert complaint in result.stdout

"""The README's programs run as they stand, against a server that answers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rag_client import QueryFields, RagClient
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb

if TYPE_CHECKING:
    from clients.python.tests.scripted_server import ScriptedServer

README = (Path(__file__).parent.parent / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=["sync", "asyncio", "filters"])
def test_a_program_runs(server: ScriptedServer, program: str) -> None:
    server.hits = [retrieval_pb.Hit(doc_id="doc_1", score=1.0)]
    here = program.replace("127.0.0.1:50051", server.target)
    done = subprocess.run([sys.executable, "-c", here], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "doc_1" in done.stdout
    assert server.documents


def test_every_method_is_named() -> None:
    methods = {name for name in dir(RagClient) if not name.startswith("_")} - {"close"}
    assert [name for name in sorted(methods) if f"`{name}`" not in README] == []


def test_every_option_of_a_query_is_named() -> None:
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", README))))
    assert set(QueryFields.__annotations__) - {"collection"} <= words


def test_every_command_line_is_one_that_ragctl_has(capsys: pytest.CaptureFixture[str]) -> None:
    from rag_client.cli import main

    commands = re.findall(r"^ragctl ([a-z][a-z-]*(?: list)?)", README, flags=re.MULTILINE)
    assert len(commands) >= 10
    for command in commands:
        words = command.split() if command.startswith("collections") else command.split()[:1]
        assert main([*words, "--help"]) == 0, command
    assert "Usage" in capsys.readouterr().out

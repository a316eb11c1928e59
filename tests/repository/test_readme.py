"""The README's session, run as it stands; and the demo, run as `make demo` runs it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tools import demo, demo_server

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
CONSOLE = [text for language, text in BLOCKS if language == "console"]
SESSION = [text for text in CONSOLE if not text.startswith("$ make")]
PATH = os.pathsep.join([str(ROOT / ".tools/bin"), str(ROOT / ".venv/bin"), os.environ["PATH"]])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[demo_server.Server]:
    """The server as a child, on free ports and an empty folder."""
    running = demo_server.Server(tmp_path_factory.mktemp("readme"))
    running.start()
    yield running
    assert running.stop() == 0


def steps(block: str) -> list[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines that it is said to print."""
    commands = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(lines[0], lines[1:]) for lines in (command.rstrip("\n").split("\n") for command in commands)]


def plain(line: str) -> str:
    """A line without what differs from run to run: numbers, request ids, spaces at its end."""
    return re.sub(r"\d[\d,.]*", "#", re.sub(r"request [0-9a-f]+", "request #", line)).rstrip()


def assert_printed(said: list[str], printed: str) -> None:
    """Everything in the README is printed, in that order; a line "..." stands for what was left out."""
    lines = [plain(line) for line in printed.rstrip("\n").split("\n")]
    shortened = False
    for line in said:
        if line == "...":
            shortened = True
            continue
        assert lines, f"nothing more is printed, and the README goes on with {line!r}"
        if shortened:
            while lines and lines[0] != plain(line):
                lines.pop(0)
        assert lines[:1] == [plain(line)]
        lines.pop(0)
        shortened = False
    assert shortened or not lines, f"also printed, and not in the README: {lines}"


def run_at(
    server: demo_server.Server, command: str | list[str], text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run what stands in the README against `server`."""
    environment = {**os.environ, "PATH": PATH, "RAG_SERVER": server.grpc_address}
    return subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=ROOT,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def addressed(text: str, server: demo_server.Server) -> str:
    return text.replace("127.0.0.1:50051", server.grpc_address).replace("127.0.0.1:8000", server.http_address)


@pytest.mark.slow
def test_the_session_prints_what_the_readme_says(server: demo_server.Server) -> None:
    for language, text in BLOCKS:
        if language == "console" and text in SESSION:
            for command, said in steps(text):
                program = shlex.split(command)[0]
                if shutil.which(program, path=PATH) is None and "CI" not in os.environ:
                    pytest.skip(f"{program} is not installed; `make tools` brings it")
                ended = run_at(server, addressed(command, server))
                assert_printed(said, ended.stdout + ended.stderr)
        elif language == "python":
            ended = run_at(server, [sys.executable, "-W", "error", "-"], addressed(text, server))
            assert ended.stderr == ""
            (said_by_python,) = [each for kind, each in BLOCKS if kind == "text"]
            assert_printed(said_by_python.rstrip("\n").split("\n"), ended.stdout)


def test_the_session_has_every_way_in() -> None:
    commands = [command for block in SESSION for command, _ in steps(block)]
    for way in (".venv/bin/ragctl ingest", ".venv/bin/ragctl query", "grpcurl", "curl"):
        assert any(command.startswith(way) for command in commands), way
    assert [kind for kind, _ in BLOCKS].count("python") == 1


@pytest.mark.slow
def test_the_demo_shows_what_the_readme_says(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, ROOT / "tools/demo.py"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path), "RAG_STORE": "nonsense", "RAG_LISTEN": "nonsense"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    (said,) = [said for block in CONSOLE for command, said in steps(block) if command == "make demo"]
    assert_printed(said, ended.stdout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_demo_cleans_up_after_ctrl_c(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", ROOT / "tools/demo.py"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("2."):
                break
        (child,) = psutil.Process(running.pid).children()
        running.send_signal(signal.SIGINT)
        _, complaint = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in complaint
    assert not child.is_running()
    assert list(tmp_path.iterdir()) == []


def test_the_demo_fails_where_a_source_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "QUESTIONS", (demo.Question("Who wrote this?", "docs/nowhere.md"),))
    monkeypatch.setattr(demo, "SOURCES", ("CHANGELOG.md",))
    server = demo_server.Server(tmp_path)
    try:
        (fault,) = demo.run(demo.Screen(), server)
    finally:
        server.stop()
    assert "docs/nowhere.md" in fault

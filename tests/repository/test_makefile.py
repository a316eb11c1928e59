"""The words a contributor types: they exist, are explained, and say what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE)
PROMISED = [
    "setup",
    "serve",
    "demo",
    "test",
    "test-fast",
    "soak",
    "lint",
    "types",
    "proto",
    "proto-check",
    "proto-breaking",
    "bench",
    "bench-full",
    "eval-retrieval",
    "eval-answers",
    "image",
    "image-check",
    "help",
]


# A make that runs these tests hands its own command line down in them: `make test-steady RAG_ROUNDS=1` would
# also decide what the makes asked here plan.
FROM_AN_OUTER_MAKE = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "RAG_ROUNDS", "RAG_KILLS"}


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in FROM_AN_OUTER_MAKE}
    return subprocess.run(
        command, cwd=ROOT, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )


def missing_on(machine: Path, *programs: str, python: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the check where only `programs` are installed, and Python as the script `python`."""
    for program in programs:
        found = shutil.which(program)
        assert found is not None
        (machine / program).symlink_to(found)
    if python is not None:
        (machine / "python3").write_text(f"#!/bin/sh\n{python}\n", encoding="utf-8")
        (machine / "python3").chmod(0o755)
    return run("/bin/sh", ROOT / "tools/check_prerequisites.sh", PATH=str(machine), PYTHON="", CXX="")


def test_every_promised_word_exists() -> None:
    assert set(PROMISED) <= set(TARGETS)


def test_help_explains_every_word() -> None:
    printed = run("make", "help").stdout
    explained = re.findall(r"^  make ([a-z-]+) +\S", printed, flags=re.MULTILINE)
    assert sorted(explained) == sorted(TARGETS)


def test_no_word_is_mistaken_for_a_file() -> None:
    phony = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)
    assert phony == TARGETS


@pytest.mark.parametrize("target", PROMISED)
def test_make_can_plan_every_word(target: str) -> None:
    planned = run("make", "--dry-run", target)
    assert planned.returncode == 0, planned.stderr


def test_ci_says_words_of_the_makefile_alone() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    steps = re.findall(r'^step "[^"]+" (.*)$', script, flags=re.MULTILINE)
    words = [re.fullmatch(r"make ([a-z-]+)(?: [A-Z_]+=\d+)*", step) for step in steps if step != "prepare"]
    assert {word.group(1) if word else None for word in words} <= set(TARGETS)
    assert {"lint", "types", "proto-check", "proto-breaking", "test-steady"} <= {
        word.group(1) for word in words if word
    }


def test_ci_plays_all_rounds_and_make_test_a_share() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.search(r"^step .* make test-steady .*RAG_ROUNDS=1\b", script, flags=re.MULTILINE)
    assert "RAG_ROUNDS=1 " in run("make", "--dry-run", "test-steady", "RAG_ROUNDS=1").stdout
    assert "RAG_ROUNDS=0.2 " in run("make", "--dry-run", "test").stdout


def test_the_scripts_are_well_formed() -> None:
    for script in [ROOT / ".ci/run", *sorted((ROOT / "tools").glob("*.sh"))]:
        assert os.access(script, os.X_OK), script
        assert run("bash", "-n", script).returncode == 0, script


def test_a_machine_with_all_is_told_nothing() -> None:
    found = run(ROOT / "tools/check_prerequisites.sh", PYTHON=sys.executable)
    assert (found.returncode, found.stdout.strip(), found.stderr) == (0, sys.executable, "")


def test_a_bare_machine_gets_one_line_for_apt(tmp_path: Path) -> None:
    found = missing_on(tmp_path, "id", "apt-get")
    assert found.returncode == 1
    assert found.stdout == ""
    reason, command = found.stderr.splitlines()
    assert "Python 3.11 or newer, a C++ compiler" in reason
    assert command.strip().endswith("apt-get install -y python3 python3-venv python3-dev g++")


def test_an_old_python_is_no_python(tmp_path: Path) -> None:
    found = missing_on(tmp_path, "id", "apt-get", "g++", python="exit 1")
    assert "Python 3.11 or newer." in found.stderr


def test_a_python_without_headers_and_venv_gets_them_named(tmp_path: Path) -> None:
    # It passes the question for its version, tells its name, and fails every other one.
    only = 'case "$2" in *version_info\\ \\<*) ;; *python3.%d*) echo python3.11 ;; *) exit 1 ;; esac'
    found = missing_on(tmp_path, "id", "apt-get", "g++", python=only)
    assert "Python's venv module, Python's C headers." in found.stderr
    assert found.stderr.strip().endswith("install -y python3.11-venv python3.11-dev")


def test_without_apt_the_packages_are_named_all_the_same(tmp_path: Path) -> None:
    found = missing_on(tmp_path, "id")
    assert found.returncode == 1
    assert "python3-venv" in found.stderr
    assert "apt-get" not in found.stderr

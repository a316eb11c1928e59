"""Programs beside Python that tests call: found in .tools/bin, or where PATH leads."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PATH = os.pathsep.join([str(_ROOT / ".tools" / "bin"), str(_ROOT / ".venv" / "bin"), os.environ["PATH"]])
_TIMEOUT = 60.0


def program(name: str) -> str:
    """Find a program; without it the test is skipped, but in CI, which installs them all, it fails."""
    found = shutil.which(name, path=_PATH)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{name} is missing, and CI has it installed by `make tools`")
    if found is None:
        pytest.skip(f"{name} is not installed; `make tools` brings it")
    return found


@dataclass(frozen=True)
class Ended:
    """How a program ended, and what it printed."""

    code: int
    stdout: str
    stderr: str


async def run(name: str, *arguments: str, stdin: str = "", timeout: float = _TIMEOUT) -> Ended:  # noqa: ASYNC109 # of the child
    """Run a program to its end, while the event loop, on which the server runs, goes on."""
    child = await asyncio.create_subprocess_exec(
        program(name),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        stdout, stderr = await asyncio.wait_for(child.communicate(stdin.encode()), timeout)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode is not None
    return Ended(child.returncode, stdout.decode(), stderr.decode())

"""The programs of docs/integrations.md run as they stand, one after the other, and print what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.threaded_server import quick_settings, serving

PAGE = (Path(__file__).parents[2] / "docs" / "integrations.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, flags=re.DOTALL)


def test_every_program_says_what_it_prints() -> None:
    assert len(PROGRAMS) == PAGE.count("```python") == 5


@pytest.mark.slow
@pytest.mark.timeout(600)  # five starts of Python with a framework each, beside all that runs
def test_the_programs_print_what_the_page_says(tmp_path: Path) -> None:
    with serving(quick_settings("embedded", tmp_path)) as address:
        for program, printed in PROGRAMS:
            here = program.replace("127.0.0.1:50051", address)
            command = [sys.executable, "-W", "error", "-c", here]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (done.stdout, done.stderr, done.returncode) == (printed, "", 0)

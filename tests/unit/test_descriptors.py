"""The limit of open files: raised as far as it may be, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rag_grpc.descriptors import raise_descriptor_limit

RAISED = """
import resource
from rag_grpc.descriptors import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
assert raise_descriptor_limit() == 128
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (128, 128)
assert raise_descriptor_limit() == 128
"""


def test_the_soft_limit_becomes_the_hard_one() -> None:
    subprocess.run([sys.executable, "-c", RAISED], check=True)


def test_a_refusal_leaves_it_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr("resource.getrlimit", lambda _: (64, 128))
    monkeypatch.setattr("resource.setrlimit", refuse)
    assert raise_descriptor_limit() == 64

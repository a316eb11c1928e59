"""The allocator takes what it is told, in a process that has only begun."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rag_grpc.allocator import tune_allocator

# Forty threads that allocate side by side; malloc_info names each arena that they made.
_ARENAS = """
import ctypes, sys, threading
from rag_grpc.allocator import tune_allocator
print(tune_allocator(2))
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(40)
def allocate():
    together.wait()
    for _ in range(200):
        libc.malloc(1000)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(40)]
[each.start() for each in threads]
[each.join() for each in threads]
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
sys.stdout.flush()
libc.malloc_info(0, out)
libc.fflush(out)
"""

glibc_only = pytest.mark.skipif(
    not hasattr(os, "confstr") or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""),
    reason="other C libraries have no arenas to bound",
)


def arenas_of(**variables: str) -> tuple[str, int]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    found = subprocess.run(
        [sys.executable, "-c", _ARENAS],
        env=inherited | variables,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return found.split("\n", 1)[0], found.count("<heap nr=")


@glibc_only
def test_many_threads_share_few_arenas() -> None:
    assert arenas_of() == ("True", 2)


@glibc_only
def test_what_an_operator_says_wins() -> None:
    assert arenas_of(MALLOC_ARENA_MAX="5") == ("False", 5)


def test_a_c_library_without_the_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not tune_allocator(2)

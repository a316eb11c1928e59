"""A server that was forked is like one that was started anew, but for the time that took."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.process import forked as forking
from tests.process.child import Child
from tests.process.forked import ForkedServer, can_fork

Start = Callable[..., Child]

needs_forks = pytest.mark.skipif(not can_fork(), reason="the kernel gives no descriptors of processes")

ROOT = Path(__file__).parents[2]

_LEAVE_ONE_BEHIND = """
import sys, time
from pathlib import Path
from tests.process.child import Child
child = Child(Path(sys.argv[1])).ready()
print(child.process.pid, flush=True)
time.sleep(60)
"""


def forked(child: Child) -> bool:
    return isinstance(child.process, ForkedServer)


def of_the_system(child: Child) -> dict[str, object]:
    """What the kernel knows of an idle server, but for numbers that are another's in each process."""
    process = Path(f"/proc/{child.process.pid}")
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
    open_files = Counter(re.sub(r"\d+", "N", each.readlink().name) for each in (process / "fd").iterdir())
    return {
        **{name: status[name].strip() for name in ("Threads", "Umask", "SigBlk", "SigIgn", "SigCgt")},
        "open files": open_files,
        "standard streams": [str((process / "fd" / name).readlink()).partition(":")[0] for name in "012"],
        "working directory": (process / "cwd").readlink(),
        "limits": (process / "limits").read_text(),
        "group and session": (os.getpgid(child.process.pid), os.getsid(child.process.pid)),
        "priority": os.getpriority(os.PRIO_PROCESS, child.process.pid),
    }


def same(one: Callable[[], object], other: Callable[[], object]) -> None:
    """Wait until both are the same: threads are started when they are needed, and end when they are not."""
    until = time.monotonic() + 30
    while one() != other():
        if time.monotonic() > until:
            assert one() == other()
        time.sleep(0.05)


def gone(process: psutil.Process) -> bool:
    """Whether it has ended; nobody may have asked how."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@needs_forks
def test_it_is_to_the_system_what_a_fresh_one_is(start: Start) -> None:
    beside = start(data_dir="beside").ready()
    # After another one, whose descriptors it must not have.
    child = start().ready()
    fresh = start(fresh=True, data_dir="fresh").ready()
    assert [forked(each) for each in (beside, child, fresh)] == [True, True, False]
    same(lambda: of_the_system(child), lambda: of_the_system(fresh))
    for each in (beside, child, fresh):
        each.stop()


@needs_forks
def test_it_knows_the_settings_that_it_was_given_and_no_others(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_ODDITY", "the caller's")
    first = start(store="memory", rarity="of the first").ready()
    second = start(store="memory").ready()
    assert forked(second)
    assert [each["name"] for each in first.events if each["event"] == "setting_unknown"] == ["RAG_RARITY"]
    assert "setting_unknown" not in {each["event"] for each in second.events}
    first.stop()
    second.stop()


@needs_forks
def test_an_environment_that_imports_might_read_gets_a_fresh_one(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert forked(start(store="memory"))
    monkeypatch.setenv("MALLOC_ARENA_MAX", "3")
    assert not forked(start(store="memory"))


def test_where_nothing_can_be_forked_it_is_started_anew(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forking, "can_fork", lambda: False)
    child = start(store="memory").ready()
    assert not forked(child)
    child.stop()


@needs_forks
def test_where_the_nursery_was_killed_the_next_server_has_another(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forking, "_nurseries", [])
    start(store="memory").ready().stop()
    (nursery,) = forking._nurseries
    nursery._process.kill()
    nursery._process.wait()
    with pytest.raises(RuntimeError, match="has ended"):
        start(store="memory")
    child = start(store="memory").ready()
    assert forked(child)
    child.stop()


def test_relative_paths_are_those_of_its_folder(start: Start, tmp_path: Path) -> None:
    start(data_dir="here").ready().stop()
    assert (tmp_path / "here" / "rag.sqlite3").exists()


def test_its_end_is_told_as_popen_tells_it(start: Start) -> None:
    child = start(store="memory").ready()
    assert child.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        child.process.wait(0.01)
    child.process.kill()
    assert child.process.wait(20) == -signal.SIGKILL == child.process.poll() == child.process.returncode
    # Nobody has that number any more, or somebody else.
    child.process.send_signal(signal.SIGKILL)
    child.process.kill()
    child = start(store="memory").ready()
    child.tell(signal.SIGTERM)
    assert child.wait() == 0
    child = start(store="none such")
    assert child.wait() == 1
    assert "RAG_STORE" in child.errors()


@needs_forks
def test_all_end_where_the_process_that_started_them_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _LEAVE_ONE_BEHIND, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as starting:
        assert starting.stdout is not None
        server = psutil.Process(int(starting.stdout.readline()))
        (nursery,) = psutil.Process(starting.pid).children()
        assert server.parent() == nursery
        starting.kill()
    same(lambda: (gone(server), gone(nursery)), lambda: (True, True))

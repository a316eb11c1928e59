"""A data folder that cannot be served: refused with one line that says why, and left as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from tests.process.child import Child
from tests.process.small_disk import small_disk

Start = Callable[..., Child]


def refused(child: Child) -> str:
    """Wait until it ends by itself; give the one line that says why."""
    assert child.wait() == 1
    failed = child.wait_for("start_failed")
    assert failed["level"] == "error"
    assert "exception" not in failed
    assert "\n" not in failed["reason"]
    assert child.errors() == ""
    reason: str = failed["reason"]
    return reason


def used(start: Start, tmp_path: Path) -> Path:
    """A folder that a server made and left."""
    start().ready().stop()
    return tmp_path / "data"


def test_a_second_server_is_refused_and_the_first_goes_on(start: Start, tmp_path: Path) -> None:
    first = start().ready()
    assert refused(start()) == f"the data folder {tmp_path / 'data'} is in use by another server"
    assert first.process.poll() is None
    first.stop()
    start().ready().stop()


def test_a_killed_server_leaves_no_lock(start: Start) -> None:
    start().ready().kill()
    start().ready().stop()


def test_a_folder_of_a_newer_release_is_refused_and_not_touched(start: Start, tmp_path: Path) -> None:
    database = used(start, tmp_path) / "rag.sqlite3"
    connection = apsw.Connection(str(database))
    connection.pragma("user_version", 1000)
    connection.close()
    before = database.read_bytes()
    reason = refused(start())
    assert "schema 1000" in reason
    assert "start a release at least as new" in reason
    assert database.read_bytes() == before


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_database_of_garbage_is_refused(start: Start, tmp_path: Path, content: bytes) -> None:
    data = used(start, tmp_path)
    (data / "rag.sqlite3").write_bytes(content)
    assert "the database cannot be opened" in refused(start())
    assert (data / "rag.sqlite3").read_bytes() == content


def test_a_database_that_was_cut_is_refused(start: Start, tmp_path: Path) -> None:
    data = used(start, tmp_path)
    content = (data / "rag.sqlite3").read_bytes()
    (data / "rag.sqlite3").write_bytes(content[:10_000])
    assert "the database" in refused(start())


def test_a_file_in_place_of_the_folder_is_refused(start: Start, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("I am a file")
    assert "cannot be written" in refused(start())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(start: Start, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    assert "cannot be written" in refused(start())


def test_a_disk_that_is_mounted_read_only_is_refused(start: Start, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "16m") as disk:
        if disk is None:
            pytest.skip("this machine lets us mount nothing")
        data = str(disk.path / "data")
        start(inside=disk.inside, data_dir=data).ready().stop()
        disk.run("mount", "-o", "remount,ro", str(disk.path))
        assert "cannot be written" in refused(start(inside=disk.inside, data_dir=data))


def test_a_disk_without_room_for_anything_is_refused(start: Start, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        if disk is None:
            pytest.skip("this machine lets us mount nothing")
        disk.fill(0)
        child = start(inside=disk.inside, data_dir=str(disk.path / "data"))
        assert child.wait() == 1
        assert "exception" not in child.wait_for("start_failed")


def test_strays_of_a_killed_server_are_removed(start: Start, tmp_path: Path) -> None:
    indexes = used(start, tmp_path) / "indexes"
    strays = [
        indexes / "1" / "making-5" / "graph.bin",
        indexes / "1" / "removing-snapshot-5" / "graph.bin",
        indexes / "77" / "vectors-1.f32",
        indexes / "odd" / "x",
    ]
    for stray in strays:
        stray.parent.mkdir(parents=True)
        stray.write_text("left over")
    child = start().ready()
    assert not any(stray.exists() for stray in strays)
    child.stop()
    assert list(indexes.glob("*/vectors-*")) == []

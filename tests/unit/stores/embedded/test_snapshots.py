"""Snapshots taking each other's place: killed at any step, a folder has a whole one as its newest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rag_grpc.stores.embedded.snapshots import (
    GRAPH_FILE,
    MANIFEST_FILE,
    MEMBERS_FILE,
    publish,
    remove,
    snapshots,
)

STEPS = ("rename", "unlink", "rmdir")
"""Of which publishing consists, as the kernel sees it; no other changes a folder there."""


class Killed(BaseException):
    """Nothing handles it, as nothing handles SIGKILL."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Have the n-th change of a folder, counted from 0, not happen, nor any after it."""

    def kill_at(last: int) -> None:
        left = iter(range(last))
        for name in STEPS:
            monkeypatch.setattr(os, name, _until_none_is_left(getattr(os, name), left))

    yield kill_at
    monkeypatch.undo()


def _until_none_is_left(step: Callable[..., Any], left: Iterator[int]) -> Callable[..., Any]:
    def stepped(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return step(*arguments, **options)

    return stepped


def making(folder: Path, content: str) -> Path:
    """Make what a child wrote and a thread sealed."""
    path = folder / "making-1"
    path.mkdir()
    for name in (GRAPH_FILE, MEMBERS_FILE, MANIFEST_FILE):
        (path / name).write_text(content)
    return path


def contents(snapshot: Path) -> list[str]:
    return [(snapshot / name).read_text() for name in (GRAPH_FILE, MEMBERS_FILE, MANIFEST_FILE)]


@pytest.mark.parametrize("seq", [7, 8], ids=["of the same seq", "of a later seq"])
@pytest.mark.parametrize("step", range(8))
def test_who_is_killed_while_publishing_leaves_a_whole_one(
    tmp_path: Path, kill_at: Callable[[int], None], seq: int, step: int
) -> None:
    publish(making(tmp_path, "old"), 7)
    made = making(tmp_path, "new")
    kill_at(step)
    with suppress(Killed):
        publish(made, seq)
    assert contents(snapshots(tmp_path)[0]) == (["new"] * 3 if step else ["old"] * 3)
    # And no older one is half there, which would be taken for a fault where the newer is not wanted.
    assert all(len(set(contents(each))) == 1 for each in snapshots(tmp_path))


def test_publishing_takes_six_changes(tmp_path: Path, kill_at: Callable[[int], None]) -> None:
    publish(making(tmp_path, "old"), 7)
    made = making(tmp_path, "new")
    kill_at(6)  # two renamed, three files and their folder removed: so the steps above are all there are
    publish(made, 8)
    assert [each.name for each in tmp_path.iterdir()] == ["snapshot-8"]


def test_the_latest_of_one_seq_is_the_newest(tmp_path: Path) -> None:
    for content in "abc":
        publish(making(tmp_path, content), 7)
    assert [each.name for each in snapshots(tmp_path)] == ["snapshot-7-2"]
    for number in (3, 10):
        (tmp_path / f"snapshot-7-{number}").mkdir()
    (tmp_path / "snapshot-10").mkdir()
    (tmp_path / "snapshot-7-x").mkdir()
    names = [each.name for each in snapshots(tmp_path)]
    assert names == ["snapshot-10", "snapshot-7-10", "snapshot-7-3", "snapshot-7-2"]


def test_what_cannot_be_renamed_is_removed_nevertheless(tmp_path: Path) -> None:
    snapshot = publish(making(tmp_path, "old"), 7)
    in_the_way = tmp_path / "removing-snapshot-7" / "file"
    in_the_way.parent.mkdir()
    in_the_way.write_text("of an earlier removal")
    remove(snapshot)
    assert snapshots(tmp_path) == []

"""Rows on disk: they grow, what was taken of them stays as it was, and no room is no harm."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from rag_grpc.core.errors import StorageFull
from rag_grpc.stores.embedded.vector_file import ALIVE, FIRST_CAPACITY, Rows, VectorFile

ROW_BYTES = 3 * 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors.f32"


def rows(first: int, count: int) -> Rows:
    return np.arange(first * 3, (first + count) * 3, dtype=np.float32).reshape(count, 3)


def append(file: VectorFile, first: int, count: int) -> None:
    ids = np.arange(first, first + count, dtype=np.int64)
    file.append(ids * 10, ids * 100, rows(first, count))


def test_what_is_appended_is_there_and_lives(path: Path) -> None:
    file = VectorFile(path, 3)
    append(file, 0, 2)
    append(file, 2, 1)
    slots = file.slots
    assert slots.length == 3
    assert slots.ids[:3].tolist() == [0, 10, 20]
    assert slots.contents[:3].tolist() == [0, 100, 200]
    assert slots.rows[:3].tolist() == rows(0, 3).tolist()
    assert slots.died[:3].tolist() == [ALIVE] * 3
    assert slots.slots_of(np.array([20, 0])).tolist() == [2, 0]
    file.close(remove=True)
    assert not path.exists()


@pytest.mark.parametrize("step", [1, 10], ids=["in a row", "with gaps"])
def test_ids_that_came_later_have_no_slot_of_the_view(path: Path, step: int) -> None:
    file = VectorFile(path, 3)
    ids = np.arange(5, 5 + 4 * step, step, dtype=np.int64)
    file.append(ids, ids, rows(0, 4))
    slots = file.slots
    later = ids[-1:] + step
    file.append(later, later, rows(4, 1))
    asked = np.array([[ids[3], ids[0]], [later[0], ids[1]]])
    found = slots.slots_of(asked)
    assert found[0].tolist() == [3, 0]
    assert found[1, 0] >= slots.length
    assert found[1, 1] == 1
    assert found.dtype == np.int64
    assert file.slots.slots_of(asked)[1, 0] == 4
    file.close(remove=True)


def test_growing_leaves_taken_arrays_as_they_were(path: Path) -> None:
    file = VectorFile(path, 3)
    append(file, 0, FIRST_CAPACITY)
    taken = file.slots
    append(file, FIRST_CAPACITY, 1000)
    file.kill(0, 5, seq=7)
    assert taken.length == FIRST_CAPACITY
    assert taken.rows.tolist() == rows(0, FIRST_CAPACITY).tolist()
    assert taken.alive(100).all()
    now = file.slots
    assert now.length == FIRST_CAPACITY + 1000
    assert now.rows[: now.length].tolist() == rows(0, now.length).tolist()
    assert now.alive(6).all()
    assert np.flatnonzero(~now.alive(7)).tolist() == [0, 1, 2, 3, 4]
    file.close(remove=True)
    assert taken.rows[0].tolist() == [0, 1, 2]


def test_appending_without_growth_is_not_seen_by_who_took_before(path: Path) -> None:
    file = VectorFile(path, 3)
    append(file, 0, 1)
    taken = file.slots
    append(file, 1, 1)
    assert (taken.length, file.slots.length) == (1, 2)
    file.close(remove=True)


def test_a_death_is_seen_by_who_took_the_same_arrays_from_its_seq_on(path: Path) -> None:
    file = VectorFile(path, 3)
    append(file, 0, 4)
    taken = file.slots
    file.kill(10, 2, seq=5)
    assert taken.alive(4).tolist() == [True] * 4
    assert taken.alive(5).tolist() == [True, False, False, True]
    assert file.dead == 2
    assert file.bytes_of_living() == 2 * ROW_BYTES
    file.close(remove=True)


def test_the_room_is_allocated_before_it_is_mapped(path: Path) -> None:
    file = VectorFile(path, 3, capacity=1000)
    assert path.stat().st_size == 1000 * ROW_BYTES
    assert path.stat().st_blocks * 512 >= 1000 * ROW_BYTES
    file.close(remove=True)


def test_growth_takes_what_is_needed_where_half_as_much_again_does_not_fit(path: Path) -> None:
    file = VectorFile(path, 3, capacity=1000)
    append(file, 0, 1000)
    file.reserve(10, room=20 * ROW_BYTES)
    assert path.stat().st_size == 1010 * ROW_BYTES
    with pytest.raises(StorageFull):
        file.reserve(100, room=20 * ROW_BYTES)
    assert path.stat().st_size == 1010 * ROW_BYTES
    file.reserve(5, room=0)
    file.reserve(11, room=10**6)
    assert path.stat().st_size == 1515 * ROW_BYTES
    file.close(remove=True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    file = VectorFile(path, 3)
    append(file, 0, FIRST_CAPACITY)
    before = file.slots

    def refuse(handle: int, offset: int, length: int) -> None:
        os.ftruncate(handle, length // 2 + FIRST_CAPACITY * ROW_BYTES)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", refuse)
        with pytest.raises(StorageFull):
            append(file, FIRST_CAPACITY, 1)
        with pytest.raises(StorageFull):
            VectorFile(path.with_name("other"), 3)
    assert file.slots is before
    assert path.stat().st_size == FIRST_CAPACITY * ROW_BYTES
    assert not path.with_name("other").exists()
    append(file, FIRST_CAPACITY, 1)
    assert file.slots.length == FIRST_CAPACITY + 1
    file.close(remove=True)


def test_other_faults_are_no_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, offset: int, length: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="broken"):
        VectorFile(path, 3)
    assert not path.exists()

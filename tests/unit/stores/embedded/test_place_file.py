"""What is remembered of places is what was read, or nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from rag_grpc.stores.embedded.place_file import SLOT_BYTES, PlaceFile
from rag_grpc.stores.embedded.spare_file import LEFT_BYTES, PAUSE_SECONDS


class Clock:
    """A time that goes on when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors-1.places"


def plenty() -> int:
    return 1 << 40


def known(file: PlaceFile, *slots: int) -> list[bytes]:
    return file.known(np.array(slots, np.int64))


def test_nothing_is_known_and_no_file_made_at_first(path: Path) -> None:
    file = PlaceFile(path)
    assert known(file) == []
    assert known(file, 0, 7) == [b"", b""]
    assert not path.exists()
    file.close(remove=True)


def test_what_was_remembered_is_known(path: Path) -> None:
    file = PlaceFile(path)
    file.remember([3, 1], [b"three", b"\0one"], 5, plenty)
    assert known(file, 1, 3, 1, 4, 900) == [b"\0one", b"three", b"\0one", b"", b""]
    assert path.stat().st_size == 5 * SLOT_BYTES
    assert path.stat().st_blocks * 512 >= 5 * SLOT_BYTES
    file.close(remove=True)
    assert not path.exists()
    assert known(file, 3) == [b"three"]


def test_growing_keeps_what_is_known(path: Path) -> None:
    file = PlaceFile(path)
    file.remember([1], [b"one"], 2, plenty)
    file.remember([5000], [b"more"], 6000, plenty)
    file.remember([2], [b"two"], 3, plenty)
    assert known(file, 1, 5000, 2) == [b"one", b"more", b"two"]


def test_what_is_too_long_is_not_remembered(path: Path) -> None:
    file = PlaceFile(path)
    file.remember([0, 1], [b"x" * SLOT_BYTES, b"x" * (SLOT_BYTES + 1)], 2, plenty)
    assert known(file, 0, 1) == [b"x" * SLOT_BYTES, b""]


def test_no_more_of_the_disk_is_taken_than_can_be_spared(path: Path) -> None:
    clock = Clock()
    file = PlaceFile(path, clock=clock)
    file.remember([1], [b"one"], 10, lambda: 10 * SLOT_BYTES + LEFT_BYTES - 1)
    assert not path.exists()
    file.remember([1], [b"one"], 10, plenty)
    assert known(file, 1) == [b""], "it was looked again at once"
    clock.now += PAUSE_SECONDS
    file.remember([1], [b"one"], 10, plenty)
    assert known(file, 1) == [b"one"]
    file.remember([11], [b"eleven"], 12, lambda: 2 * SLOT_BYTES + LEFT_BYTES)
    assert known(file, 11) == [b"eleven"]


def test_a_disk_that_cannot_be_asked_is_no_more_than_not_remembering(path: Path) -> None:
    def fails() -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    file = PlaceFile(path)
    file.remember([1], [b"one"], 10, fails)
    assert known(file, 1) == [b""]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_fault_of_the_disk_is_no_more_than_not_remembering(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    file = PlaceFile(path)
    file.remember([0], [b"none"], 2, plenty)

    def refuse(handle: int, offset: int, length: int) -> None:
        os.ftruncate(handle, length)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    file.remember([3], [b"three"], 4, plenty)
    assert known(file, 0, 3) == [b"none", b""]
    assert path.stat().st_size == 2 * SLOT_BYTES


def test_a_folder_that_is_gone_is_no_fault(path: Path) -> None:
    file = PlaceFile(path.parent / "gone" / "places")
    file.remember([0], [b"none"], 2, plenty)
    assert known(file, 0) == [b""]


def test_who_still_searches_makes_no_file_once_it_was_closed(path: Path) -> None:
    file = PlaceFile(path)
    file.close(remove=True)
    file.close(remove=True)
    file.remember([0], [b"none"], 2, plenty)
    assert known(file, 0) == [b""]
    assert not path.exists()

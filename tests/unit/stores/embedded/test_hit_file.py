"""A hit that is remembered is the one that a view would read, or none is."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.stores.embedded import hit_file
from rag_grpc.stores.embedded.hit_file import HitFile
from rag_grpc.stores.embedded.hit_rows import PackedRow
from rag_grpc.stores.embedded.spare_file import LEFT_BYTES, SpareFile

SLOTS = 12


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors-1.hits"


def plenty() -> int:
    return 1 << 40


def known(file: HitFile, *slots: int, seq: int = 9) -> list[bytes]:
    return file.known(np.array(slots, np.int64), seq)


def remember(file: HitFile, slot: int, hit: bytes, *, revision: int = 1, seq: int = 9) -> None:
    file.remember({slot: PackedRow(hit, revision)}, SLOTS, plenty, seq, moment=file.moment)


def test_nothing_is_known_and_no_file_made_at_first(path: Path) -> None:
    file = HitFile(path)
    assert known(file) == []
    assert known(file, 0, 7) == [b"", b""]
    file.forget([(0, 7)])
    assert list(path.parent.iterdir()) == []
    file.close(remove=True)


def test_what_was_remembered_is_known_until_its_files_are_gone(path: Path) -> None:
    file = HitFile(path)
    remember(file, 3, b"three\0")
    remember(file, 1, b"one")
    assert known(file, 1, 3, 1, 4, 900) == [b"one", b"three\0", b"one", b"", b""]
    assert known(file, 1) == [b"one"]
    assert len(list(path.parent.iterdir())) == 2
    file.close(remove=True)
    file.close(remove=True)
    assert list(path.parent.iterdir()) == []
    assert known(file, 3) == [b"three\0"]


def test_who_still_searches_makes_no_file_once_it_was_closed(path: Path) -> None:
    file = HitFile(path)
    file.close(remove=True)
    remember(file, 0, b"none")
    assert known(file, 0) == [b""]
    assert list(path.parent.iterdir()) == []


def test_a_view_is_told_nothing_that_is_newer(path: Path) -> None:
    file = HitFile(path)
    remember(file, 1, b"one", revision=5)
    assert known(file, 1, seq=5) == [b"one"]
    assert known(file, 1, seq=4) == [b""]


def test_what_an_older_view_read_of_a_changed_document_is_not_kept(path: Path) -> None:
    file = HitFile(path)
    remember(file, 1, b"as it was", revision=5, seq=4)
    assert known(file, 1) == [b""]


def test_what_was_forgotten_is_not_known(path: Path) -> None:
    file = HitFile(path)
    for slot in range(5):
        remember(file, slot, b"%d" % slot)
    file.forget([(0, 1), (2, 4), (8, 900)])
    assert known(file, 0, 1, 2, 3, 4) == [b"", b"1", b"", b"", b"4"]


def test_who_read_before_something_was_forgotten_comes_too_late(path: Path) -> None:
    file = HitFile(path)
    read_at = file.moment
    file.forget([(1, 2)])
    file.remember({1: PackedRow(b"as it was", 1)}, SLOTS, plenty, 9, moment=read_at)
    assert known(file, 1) == [b""]


def test_the_newest_hits_overwrite_the_oldest(path: Path) -> None:
    file = HitFile(path, most_bytes=100)
    for slot in range(SLOTS):
        remember(file, slot, b"%02d" % slot * 15)
    assert [bool(hit) for hit in known(file, *range(SLOTS))] == [False] * (SLOTS - 3) + [True] * 3
    assert path.stat().st_size == 100


def test_a_hit_that_is_too_large_is_not_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hit_file, "LARGEST_HIT", 10)
    file = HitFile(path)
    remember(file, 0, b"x" * 11)
    remember(file, 1, b"x" * 10)
    assert known(file, 0, 1) == [b"", b"x" * 10]


def test_no_file_is_made_for_what_is_not_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hit_file, "LARGEST_HIT", 10)
    file = HitFile(path)
    remember(file, 0, b"x" * 11)
    remember(file, 1, b"changed", revision=5, seq=4)
    assert list(path.parent.iterdir()) == []


def test_the_ring_grows_by_and_by(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hit_file, "FIRST_BYTES", 32)
    file = HitFile(path, most_bytes=100)
    sizes = []
    for slot in range(6):
        remember(file, slot, b"%d" % slot * 16)
        sizes.append(path.stat().st_size)
    assert sizes == [32, 32, 64, 64, 100, 100]
    assert known(file, *range(6)) == [b"%d" % slot * 16 for slot in range(6)]


def test_more_slots_keep_what_is_known(path: Path) -> None:
    file = HitFile(path)
    remember(file, 1, b"one")
    file.remember({5000: PackedRow(b"more", 1)}, 6000, plenty, 9, moment=file.moment)
    assert known(file, 1, 5000, 7000) == [b"one", b"more", b""]


def test_no_more_of_the_disk_is_taken_than_can_be_spared(path: Path) -> None:
    file = HitFile(path)
    file.remember({1: PackedRow(b"one", 1)}, SLOTS, lambda: LEFT_BYTES + 1024, 9, moment=file.moment)
    assert known(file, 1) == [b""]
    assert not path.exists(), "the heads fit, and the ring does not"


def test_a_ring_that_may_not_grow_turns_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hit_file, "FIRST_BYTES", 32)
    file = HitFile(path, most_bytes=100)
    room = iter([1 << 40, 1 << 40, 0])
    for slot in range(5):
        row = {slot: PackedRow(b"%d" % slot * 16, 1)}
        file.remember(row, SLOTS, lambda: next(room), 9, moment=file.moment)
    assert path.stat().st_size == 32
    assert known(file, *range(5)) == [b"", b"", b"", b"3" * 16, b"4" * 16]


def test_a_file_that_somebody_took_away_is_not_made_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hit_file, "FIRST_BYTES", 32)
    file = HitFile(path, most_bytes=100)
    for slot in range(2):
        remember(file, slot, b"%d" % slot * 16)
    path.unlink()
    for slot in range(2, 4):
        remember(file, slot, b"%d" % slot * 16)
    assert known(file, *range(4)) == [b"", b"", b"2" * 16, b"3" * 16]
    assert not path.exists()


def test_a_file_that_somebody_emptied_grows_no_more(path: Path) -> None:
    file = SpareFile(path)
    mapped = file.grown(4096, plenty)
    assert mapped is not None
    with path.open("r+b") as other:
        other.truncate(0)
    assert file.grown(8192, plenty) is None
    assert path.stat().st_size == 0


class Model:
    """What may be known: of each slot the last hit that was kept, until later ones have overwritten it."""

    def __init__(self, least: int) -> None:
        """`least` is how long the ring is at its shortest, once it is one."""
        self.least = least
        self.hits: dict[int, PackedRow] = {}
        self.sizes: list[int] = []
        self.kept_at: dict[int, int] = {}

    def remember(self, slot: int, row: PackedRow) -> None:
        self.hits[slot] = row
        self.kept_at[slot] = len(self.sizes)
        self.sizes.append(len(row.packed))

    def surely(self, slot: int) -> bool:
        """Whether so little was kept since that no end of the ring can have cost the hit its place."""
        return sum(self.sizes[self.kept_at[slot] :]) <= self.least // 2


steps = st.lists(
    st.one_of(
        st.tuples(st.just("keep"), st.integers(0, SLOTS - 1), st.integers(1, 40), st.integers(1, 9)),
        st.tuples(st.just("forget"), st.integers(0, SLOTS), st.integers(0, SLOTS), st.just(0)),
    ),
    max_size=60,
)


@given(steps, st.integers(80, 200), st.integers(80, 200), st.booleans())
def test_any_history_gives_the_last_that_was_kept_or_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    history: list[tuple[str, int, int, int]],
    most: int,
    first: int,
    refused: bool,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hit_file, "FIRST_BYTES", first)
        path = tmp_path_factory.mktemp("ring") / "hits"
        check_history(history, HitFile(path, most_bytes=most), min(first, most), refused=refused)


def check_history(
    history: list[tuple[str, int, int, int]], file: HitFile, least: int, *, refused: bool
) -> None:
    """`refused`: the disk has room for what is made first, and for nothing more."""
    model = Model(least)
    room = itertools.chain([1 << 40] * (2 if refused else 1000), itertools.repeat(0))
    for number, (what, first, second, revision) in enumerate(history):
        if what == "forget":
            file.forget([(first, second)])
            model.hits = {slot: row for slot, row in model.hits.items() if not first <= slot < second}
            continue
        row = PackedRow((b"%d|" % number * second)[:second], revision)
        file.remember({first: row}, SLOTS, lambda: next(room), 9, moment=file.moment)
        model.remember(first, row)
    for seq in (0, 4, 9):
        for slot, found in enumerate(known(file, *range(SLOTS), seq=seq)):
            row = model.hits.get(slot, PackedRow(b"", 0))
            visible = row.packed if row.revision <= seq else b""
            assert found in {b"", visible}
            if visible and seq == 9 and model.surely(slot):
                assert found == visible
    file.close(remove=True)

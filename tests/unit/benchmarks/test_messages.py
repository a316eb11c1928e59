"""Recorded bytes come back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.drivers.rows import metadata, slices, text, whole
from benchmarks.peers.messages import read_messages, write_messages


@pytest.mark.parametrize("messages", [[], [b""], [b"a", b"", b"\0\xff" * 70_000]])
def test_messages_come_back(tmp_path: Path, messages: list[bytes]) -> None:
    write_messages(tmp_path / "file", messages)
    assert read_messages(tmp_path / "file") == messages


def test_slices_cover_every_row_once() -> None:
    rows = list(range(25))
    assert [each for part in slices(len(rows), 10) for each in rows[part]] == rows


def test_texts_have_the_length_that_is_told() -> None:
    assert {len(text(number)) for number in (0, 9, 99_999, 999_999)} == {270}


def test_a_hit_is_whole_with_its_own_text_and_all_of_its_metadata() -> None:
    assert whole(text(7), metadata(7))
    assert not whole(text(8), metadata(7))
    assert not whole(text(7), metadata(7) | {"lang": "de"})
    assert not whole(text(7), {"number": 7})

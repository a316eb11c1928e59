"""Rows of hits are read up to a bound."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import numpy as np
import pytest

from rag_grpc.core.errors import LimitExceeded
from rag_grpc.core.models import Chunk
from rag_grpc.core.searches import ALL_PARTS, HitParts, Selected
from rag_grpc.stores.embedded import hit_rows
from rag_grpc.stores.embedded.database import open_reader, open_writer
from rag_grpc.stores.embedded.hit_rows import read_hits, read_packed
from tests.contracts.fakes import JsonHits

TABLE = "embedding"


@pytest.fixture
def reader(tmp_path: Path) -> apsw.Connection:
    writer = open_writer(tmp_path / "db")
    for key in range(1, 301):
        row = (key, 1, f"d{key}", 1, 1, None, key, 1, b"", b"", 0, 0, "text/plain", "", b"m")
        writer.execute("INSERT INTO document VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", row)
        writer.execute("INSERT INTO chunk VALUES (?,?,0,NULL,NULL,NULL,?)", (key, key, "x" * 100))
    writer.close()
    return open_reader(tmp_path / "db")


def selected(first: int, last: int) -> list[Selected]:
    return [Selected(chunk, chunk, 1.0) for chunk in range(first, last)]


def test_too_much_text_fails_the_search_that_asks_for_it_alone(
    reader: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hit_rows, "MOST_CHARACTERS", 20_000)
    small, large = read_hits(reader, [selected(1, 11), selected(11, 301)], 5, ALL_PARTS, TABLE)
    assert isinstance(small, tuple)
    assert [hit.doc_id for hit in small] == [f"d{number}" for number in range(1, 11)]
    assert isinstance(large, LimitExceeded)
    assert "`omit`" in large.message


def test_what_is_left_out_does_not_count(reader: apsw.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hit_rows, "MOST_CHARACTERS", 20_000)
    (hits,) = read_hits(reader, [selected(1, 301)], 5, HitParts(text=False, metadata=False), TABLE)
    assert isinstance(hits, tuple)
    assert len(hits) == 300


def test_nothing_selected_is_nothing_read(reader: apsw.Connection) -> None:
    assert read_hits(reader, [[], []], 5, ALL_PARTS, TABLE) == [(), ()]


AWKWARD = 'a\0b\x01\x1f "quoted" \\ back \n\t\r \u2028 e\u0301 \ud7ff \U0001f600 \uffff'


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "db")
    # Ids as they are: a collection in the upper bits, beyond what a float can tell apart.
    key, chunk = (1 << 61) + 1, (1 << 61) + 3
    metadata, vector = bytes(range(256)), np.array([1.5, -0.0, 3e-39], "<f4")
    row = (key, 1, AWKWARD, 1, 1, None, key, 1, b"", b"", 0, 0, "text/plain", AWKWARD[::-1], metadata)
    writer.execute("INSERT INTO document VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", row)
    headings = json.dumps([AWKWARD, "two"])
    writer.execute("INSERT INTO chunk VALUES (?,?,7,3,9,?,?)", (chunk, key, headings, AWKWARD))
    writer.execute("INSERT INTO embedding VALUES (?,?,?)", (chunk, key, vector.tobytes()))
    writer.close()
    parts = HitParts(vectors=True)
    (hits,) = read_hits(open_reader(tmp_path / "db"), [[Selected(chunk, key, 0.5)]], 5, parts, TABLE)
    assert isinstance(hits, tuple)
    (hit,) = hits
    assert (hit.doc_id, hit.title, hit.packed_metadata) == (AWKWARD, AWKWARD[::-1], metadata)
    assert hit.chunk[:5] == (7, AWKWARD, 3, 9, (AWKWARD, "two"))
    assert hit.chunk.vector is not None
    assert hit.chunk.vector.tobytes() == vector.tobytes()


def test_what_sqlite_itself_cannot_hold_is_too_much(reader: apsw.Connection) -> None:
    reader.limit(apsw.SQLITE_LIMIT_LENGTH, 2_000)
    small, large = read_hits(reader, [selected(1, 3), selected(1, 50)], 5, ALL_PARTS, TABLE)
    assert isinstance(small, tuple)
    assert isinstance(large, LimitExceeded)


def test_packed_hits_are_of_the_view_s_version(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "db")
    row = (1, 1, "d", 9, 1, None, 1, 1, b"", b"", 0, 0, "text/plain", "now", b"\x01now")
    writer.execute("INSERT INTO document VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", row)
    writer.execute("INSERT INTO document_past VALUES (1,4,1,9,'then',x'02')")
    writer.execute("INSERT INTO chunk VALUES (7,1,2,3,9,'[\"Top\"]','text')")
    writer.close()
    reader, codec, chunks = open_reader(tmp_path / "db"), JsonHits(), np.array([7, 8], np.int64)

    def read(seq: int, parts: HitParts) -> tuple[str, Chunk, str, bytes | None]:
        packed = read_packed(reader, chunks, seq, parts, codec)
        assert packed is not None
        assert packed.keys() == {7}
        assert packed[7].revision == 9
        return codec.unpack(packed[7].packed)

    chunk = Chunk(2, "text", 3, 9, ("Top",))
    assert read(9, ALL_PARTS) == ("d", chunk, "now", b"\x01now")
    assert read(8, ALL_PARTS) == ("d", chunk, "then", b"\x02")
    assert read(8, HitParts(text=False, metadata=False)) == ("d", chunk._replace(text=""), "then", None)
    assert read(9, HitParts(title=False)) == ("d", chunk, "", b"\x01now")

"""Places are read once, as far as they can be kept; a row that is lost fails those who found it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from rag_grpc.core.errors import StorageFault
from rag_grpc.core.models import Metric
from rag_grpc.core.searches import Candidates, HitParts, PackedHits, Select
from rag_grpc.core.selection import DenseSelection
from rag_grpc.stores.embedded import hit_rows, packed_hits
from rag_grpc.stores.embedded.database import open_reader, open_writer
from rag_grpc.stores.embedded.dense_search import DenseView
from rag_grpc.stores.embedded.hit_file import HitFile
from rag_grpc.stores.embedded.packed_hits import Found, HitPacker, wants_packed
from rag_grpc.stores.embedded.place_file import SLOT_BYTES, PlaceFile
from rag_grpc.stores.embedded.vector_file import Slots
from tests.contracts.fakes import ONLY_PLACES, PACKED, JsonHits, for_nearest, select_all
from tests.contracts.store_state import NOWHERE

IDS = np.arange(10, 60, 10)
LONG = 50
"""A chunk with more headings than a slot has room for."""


@pytest.fixture
def reader(tmp_path: Path) -> apsw.Connection:
    writer = open_writer(tmp_path / "db")
    for chunk in IDS.tolist():
        row = (chunk, 1, f"d{chunk}", 1, 1, None, chunk, 1, b"", b"", 0, 0, "text/plain", "", b"m")
        writer.execute("INSERT INTO document VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", row)
        headings = json.dumps(["h" * SLOT_BYTES if chunk == LONG else "Top"])
        writer.execute("INSERT INTO chunk VALUES (?,?,?,3,9,?,'text')", (chunk, chunk, chunk % 7, headings))
    writer.close()
    return open_reader(tmp_path / "db")


@pytest.fixture
def view(tmp_path: Path) -> Iterator[DenseView]:
    rows = np.zeros((len(IDS), 4), np.float32)
    slots = Slots(rows, IDS, IDS, np.full(len(IDS), 1 << 60), len(IDS))
    file = PlaceFile(tmp_path / "places")
    whole = HitFile(tmp_path / "hits")
    yield DenseView(slots, 1, Metric.COSINE, None, file, whole)
    file.close(remove=True)
    whole.close(remove=True)


PACKER = HitPacker(JsonHits(), lambda: 1 << 40)


def hits_of(
    reader: apsw.Connection,
    view: DenseView,
    selects: list[Select],
    candidates: list[Candidates],
    parts: HitParts = ONLY_PLACES,
) -> list[Found]:
    hits = PACKER.hits(reader, view, selects, candidates, parts)
    assert hits is not None
    return hits


def found(*chunks: int) -> Candidates:
    ids = np.array(chunks, np.int64)
    return Candidates(ids, ids, np.linspace(1, 0, len(ids), dtype=np.float32))


def asked(count: int) -> list[Select]:
    return [DenseSelection(3)] * count


def ids_of(hits: object) -> list[str]:
    assert isinstance(hits, PackedHits), hits
    return [hit.doc_id for hit in hits]


def test_places_are_read_once(reader: apsw.Connection, view: DenseView) -> None:
    first, second = hits_of(reader, view, asked(2), [found(10, 30), found(30, 20)])
    assert isinstance(first, PackedHits)
    assert [(hit.doc_id, *hit.chunk[:5]) for hit in first] == [
        ("d10", 3, "", 3, 9, ("Top",)),
        ("d30", 2, "", 3, 9, ("Top",)),
    ]
    reader.execute("PRAGMA query_only = 0; DELETE FROM chunk")
    again = hits_of(reader, view, asked(2), [found(20, 10), found()])
    assert [ids_of(hits) for hits in again] == [["d20", "d10"], []]
    assert ids_of(second) == ["d30", "d20"]


def test_what_is_too_long_is_read_again_each_time(reader: apsw.Connection, view: DenseView) -> None:
    for _ in range(2):
        (hits,) = hits_of(reader, view, asked(1), [found(20, LONG)])
        assert ids_of(hits) == ["d20", f"d{LONG}"]
    assert view.places is not None
    assert view.places.known(np.array([4])) == [b""]


def test_a_row_that_is_lost_fails_who_found_it(reader: apsw.Connection, view: DenseView) -> None:
    reader.execute("PRAGMA query_only = 0; DELETE FROM chunk WHERE id = 20")
    for _ in range(2):
        fine, lost = hits_of(reader, view, asked(2), [found(10), found(10, 20, 30)])
        assert ids_of(fine) == ["d10"]
        assert isinstance(lost, StorageFault)
        assert "chunk 20" in lost.message


def test_rows_too_long_to_be_read_at_once_are_left_to_others(
    reader: apsw.Connection, view: DenseView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hit_rows, "MOST_CHARACTERS", 20)
    monkeypatch.setattr(hit_rows, "FEW_ROWS", 1)
    assert PACKER.hits(reader, view, asked(1), [found(10, 20)], ONLY_PLACES) is None


def test_a_collection_without_a_graph_is_left_to_others(reader: apsw.Connection, view: DenseView) -> None:
    bare = DenseView(view.slots, view.seq, view.metric, None)
    assert PACKER.hits(reader, bare, asked(1), [found(10, 20)], ONLY_PLACES) is None


def metadata_of(hits: object) -> list[bytes | None]:
    assert isinstance(hits, PackedHits), hits
    return [hit.packed_metadata for hit in hits]


def test_whole_hits_are_read_once(reader: apsw.Connection, view: DenseView) -> None:
    first, second = hits_of(reader, view, asked(2), [found(10, 30), found(30, LONG)], PACKED)
    assert isinstance(first, PackedHits)
    assert [(hit.doc_id, hit.chunk.text, hit.packed_metadata) for hit in first] == [
        ("d10", "text", b"m"),
        ("d30", "text", b"m"),
    ]
    reader.execute("PRAGMA query_only = 0; DELETE FROM chunk")
    again = hits_of(reader, view, asked(2), [found(LONG, 10), found()], PACKED)
    assert [ids_of(hits) for hits in again] == [[f"d{LONG}", "d10"], []]
    assert ids_of(second) == ["d30", f"d{LONG}"]
    (lost,) = hits_of(reader, view, asked(1), [found(10, 20)], PACKED)
    assert isinstance(lost, StorageFault)


@pytest.mark.parametrize("part", ["text", "title", "metadata"])
def test_hits_that_are_not_whole_are_neither_kept_nor_taken_for_whole(
    reader: apsw.Connection, view: DenseView, part: str
) -> None:
    parts = replace(PACKED, **{part: False})
    for _ in range(2):
        (hits,) = hits_of(reader, view, asked(1), [found(10)], parts)
        assert isinstance(hits, PackedHits)
        assert (hits[0].chunk.text == "") == (part == "text")
    assert view.hits is not None
    assert view.hits.known(np.array([0]), view.seq) == [b""]
    (whole,) = hits_of(reader, view, asked(1), [found(10)], PACKED)
    assert metadata_of(whole) == [b"m"]


def test_a_document_with_a_newer_version_is_read_for_each_view(
    reader: apsw.Connection, view: DenseView
) -> None:
    hits_of(reader, view, asked(1), [found(10)], PACKED)
    reader.execute(
        "PRAGMA query_only = 0; INSERT INTO document_past VALUES (10, 1, 1, 5, 'then', x'02');"
        "UPDATE document SET metadata = x'03', revision = 5 WHERE key = 10"
    )
    assert view.hits is not None
    view.hits.forget([(0, 1)])
    later = replace(view, seq=5)
    for _ in range(2):
        (old,), (new,) = (hits_of(reader, each, asked(1), [found(10)], PACKED) for each in (view, later))
        assert (metadata_of(old), metadata_of(new)) == ([b"\x02"], [b"\x03"])


def test_rows_that_were_read_before_a_change_are_not_kept_after_it(
    reader: apsw.Connection, view: DenseView, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_change(*arguments: Any, **named: Any) -> Any:
        rows = hit_rows.read_packed(*arguments, **named)
        assert view.hits is not None
        view.hits.forget([(0, 1)])
        return rows

    monkeypatch.setattr(packed_hits, "read_packed", read_and_change)
    (hits,) = hits_of(reader, view, asked(1), [found(10)], PACKED)
    assert ids_of(hits) == ["d10"]
    assert view.hits is not None
    assert view.hits.known(np.array([0]), view.seq) == [b""]


def test_what_is_remembered_counts_as_what_is_read(
    reader: apsw.Connection, view: DenseView, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits_of(reader, view, asked(1), [found(10, 20)], PACKED)
    monkeypatch.setattr(packed_hits, "FEW_ROWS", 1)
    monkeypatch.setattr(packed_hits, "MOST_CHARACTERS", 20)
    assert PACKER.hits(reader, view, asked(1), [found(10, 20)], PACKED) is None
    monkeypatch.setattr(packed_hits, "MOST_CHARACTERS", 1 << 20)
    monkeypatch.setattr(hit_rows, "FEW_ROWS", 0)
    monkeypatch.setattr(hit_rows, "MOST_CHARACTERS", 100)
    assert PACKER.hits(reader, view, asked(1), [found(10, 20, 30)], PACKED) is None


def test_a_hit_that_many_found_is_there_once(reader: apsw.Connection, view: DenseView) -> None:
    for _ in range(2):
        hits = hits_of(reader, view, asked(3), [found(10), found(20, 10), found(10)], PACKED)
        assert [ids_of(each) for each in hits] == [["d10"], ["d20", "d10"], ["d10"]]
        of_ten = {id(each.packed[-1]) for each in hits if isinstance(each, PackedHits)}
        assert len(of_ten) == 1


def test_only_nearness_and_places_are_asked_for() -> None:
    search = for_nearest(NOWHERE, [1, 0, 0, 0], candidates=3)
    assert wants_packed(search)
    assert search.parts == ONLY_PLACES
    assert not wants_packed(search._replace(select=select_all))
    for part in ("text", "title", "metadata", "vectors"):
        more = type(ONLY_PLACES)(**{"text": False, "title": False, "metadata": False, part: True})
        assert not wants_packed(search._replace(parts=more))

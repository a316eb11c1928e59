"""Every damage to a snapshot: refused, counted, built again, and the answers are right."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from rag_grpc.core.searches import SearchStrategy
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.store import EmbeddedStore
from tests.contracts.fakes import JsonCodec, Records, find, prepared, put, spec
from tests.process import snapshot_folder as damages
from tests.process.snapshot_folder import Damage, snapshots_in

DOCUMENTS = 60


def make_store(path: Path, records: Records, **parameters: int) -> EmbeddedStore:
    index = IndexParameters(graph_from=8, **parameters)
    return EmbeddedStore(
        path,
        codec=JsonCodec(),
        telemetry=records,
        settings=EmbeddedSettings(index=index, disk_reserve_bytes=0),
    )


@pytest.fixture
async def saved(tmp_path: Path) -> Path:
    """A folder with a collection and the snapshot of a clean stop."""
    data = tmp_path / "data"
    store = make_store(data, Records())
    await store.open()
    collection = await store.create_collection(spec(), "")
    rows = np.random.default_rng(1).normal(size=(DOCUMENTS, 4)).astype(np.float32)
    for number, row in enumerate(rows):
        await put(store, collection, prepared(f"d-{number:02}", row))
    await store.close()
    assert len(snapshots_in(data)) == 1
    return data


async def check(store: EmbeddedStore) -> None:
    """The graph finds what comparing everything finds."""
    collection = store.collection("things")
    assert store.counts(collection).documents == DOCUMENTS
    async with asyncio.timeout(10):
        # A small graph is built by a thread of the store while it serves.
        while (await find(store, collection, (1, 0, 0, 0))).strategy is not SearchStrategy.ANN:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for query in np.random.default_rng(2).normal(size=(10, 4)).astype(np.float32):
        near = await find(store, collection, query, candidates=DOCUMENTS)
        exact = await find(store, collection, query, candidates=DOCUMENTS, exact=True)
        assert near.strategy is SearchStrategy.ANN
        assert [hit.doc_id for hit in near.hits] == [hit.doc_id for hit in exact.hits]
        assert len(near.hits) == DOCUMENTS


async def test_a_whole_snapshot_is_used(saved: Path) -> None:
    records = Records()
    store = make_store(saved, records)
    await store.open()
    assert store.stats().collections[0].snapshot_time is not None
    assert records.events == []
    await check(store)
    assert "graph_slice" not in records.stages
    await store.close()


def not_text(snapshot: Path) -> None:
    (snapshot / "manifest.json").write_bytes(b"\xff\xfe\x00")


def a_file_instead(snapshot: Path) -> None:
    shutil.rmtree(snapshot)
    snapshot.write_text("not a folder")


DAMAGES: dict[str, Damage] = {
    "graph cut in half": damages.truncate("graph.bin", 0.5),
    "graph one byte short": damages.truncate("graph.bin", 0.99999),
    "graph empty": damages.truncate("graph.bin", 0.0),
    "a bit flipped in the graph's head": damages.flip("graph.bin", 0.0),
    "a bit flipped in the graph": damages.flip("graph.bin", 0.6),
    "graph missing": damages.remove("graph.bin"),
    "members cut": damages.truncate("members.npy", 0.7),
    "a bit flipped in the members' head": damages.flip("members.npy", 0.0),
    "a bit flipped in the members": damages.flip("members.npy", 0.9),
    "members missing": damages.remove("members.npy"),
    "manifest missing": damages.remove("manifest.json"),
    "manifest cut": damages.truncate("manifest.json", 0.5),
    "manifest no JSON": damages.replace_by("this is not JSON"),
    "manifest other JSON": damages.replace_by("[1, 2, 3]"),
    "manifest with null": damages.replace_by('{"manifest": null}'),
    "manifest not text": not_text,
    "manifest of another collection": damages.manifest_says(collection_uid="0" * 32),
    "manifest of other parameters": damages.manifest_says(m=8),
    "manifest of another dimension": damages.manifest_says(dimension=12),
    "manifest of another last chunk": damages.manifest_says(last_chunk=5),
    "manifest of a later seq": damages.manifest_says(seq=10**6),
    "manifest with a text for a number": damages.manifest_says(last_chunk="many"),
    "all missing": damages.empty,
    "a file instead": a_file_instead,
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_snapshot_is_refused_and_built_again(saved: Path, damage: str) -> None:
    (snapshot,) = snapshots_in(saved)
    DAMAGES[damage](snapshot)
    records = Records()
    store = make_store(saved, records)
    await store.open()
    assert records.events == ["snapshot_refused"]
    await check(store)
    await store.close()
    # The stop saved a whole one in its place.
    records = Records()
    store = make_store(saved, records)
    await store.open()
    assert records.events == []
    await check(store)
    await store.close()


@pytest.mark.parametrize("place", np.linspace(0, 0.999, 12).tolist())
async def test_a_bit_that_is_flipped_anywhere_in_the_manifest_is_noticed(saved: Path, place: float) -> None:
    (snapshot,) = snapshots_in(saved)
    damages.flip("manifest.json", place)(snapshot)
    records = Records()
    store = make_store(saved, records)
    await store.open()
    assert records.events == ["snapshot_refused"]
    await check(store)
    await store.close()


async def test_a_snapshot_of_other_parameters_is_refused(saved: Path) -> None:
    records = Records()
    store = make_store(saved, records, m=8)
    await store.open()
    assert records.events == ["snapshot_refused"]
    await check(store)
    await store.close()


async def test_an_older_snapshot_serves_where_the_newest_is_damaged(saved: Path) -> None:
    (snapshot,) = snapshots_in(saved)
    newer = snapshot.with_name("snapshot-999999")
    shutil.copytree(snapshot, newer)
    damages.flip("graph.bin", 0.5)(newer)
    records = Records()
    store = make_store(saved, records)
    await store.open()
    assert records.events == ["snapshot_refused"]
    assert store.stats().collections[0].snapshot_time is not None
    assert snapshots_in(saved) == [snapshot]
    await check(store)
    await store.close()


async def test_one_whose_place_was_taken_goes_at_the_next_start(saved: Path) -> None:
    (snapshot,) = snapshots_in(saved)
    newer = snapshot.with_name(f"{snapshot.name}-1")
    shutil.copytree(snapshot, newer)
    records = Records()
    store = make_store(saved, records)
    await store.open()
    assert records.events == []
    assert snapshots_in(saved) == [newer]
    await check(store)
    await store.close()

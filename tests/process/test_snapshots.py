"""Graphs on disk: made beside the server, used at its next start, and never believed in doubt."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import grpc
import psutil
import pytest

from ragapi.v1 import collection_service_pb2 as collections
from ragapi.v1.collection_service_pb2_grpc import CollectionServiceStub
from tests.process import snapshot_folder as damages
from tests.process.child import Child
from tests.process.inspection import Inspection
from tests.process.ledger import Ledger
from tests.process.snapshot_folder import Damage, leftovers_in, snapshots_in
from tests.process.writers import put_all, replace_some, until_it_dies

Start = Callable[..., Child]
Found = TypeVar("Found")

GRAPHS = {"graph_from": "64"}
ALWAYS = {**GRAPHS, "snapshot_after": "1ms"}


class Subject:
    """A collection with one writer, whatever server serves it at the moment."""

    def __init__(self, size: int = 150) -> None:
        self.ledger = Ledger("d", size, random.Random(3))

    async def fill(self, child: Child) -> None:
        """Make the collection and store every document."""
        async with grpc.aio.insecure_channel(child.grpc_address) as channel:
            wanted = collections.Collection(
                name="things", chunking=collections.Chunking(without_context=True)
            )
            await CollectionServiceStub(channel).CreateCollection(
                collections.CreateCollectionRequest(collection=wanted)
            )
            await put_all(channel, "things", self.ledger)

    async def change(self, child: Child, documents: int) -> None:
        """Replace some documents and delete some."""
        async with grpc.aio.insecure_channel(child.grpc_address) as channel:
            await replace_some(channel, "things", self.ledger, documents)

    async def check(self, child: Child) -> None:
        """All is there and found, exactly and through the graph."""
        async with grpc.aio.insecure_channel(child.grpc_address) as channel:
            await Inspection(channel, "things", random.Random(4)).settle([self.ledger])


def said(child: Child, event: str) -> list[dict[str, object]]:
    """The events of that name, about the collection under test."""
    return [each for each in child.events if each["event"] == event]


async def stopped(child: Child) -> None:
    await asyncio.to_thread(child.stop)


async def eventually(condition: Callable[[], Found], seconds: float = 30.0) -> Found:
    async with asyncio.timeout(seconds):
        while not (found := condition()):  # noqa: ASYNC110  # what is waited for happens in another process
            await asyncio.sleep(0.005)
    return found


async def test_the_snapshot_of_a_clean_stop_is_used_at_the_next_start(start: Start, tmp_path: Path) -> None:
    subject = Subject()
    child = start(**GRAPHS).ready()
    await subject.fill(child)
    await stopped(child)
    (snapshot,) = snapshots_in(tmp_path / "data")
    made = (snapshot / "graph.bin").stat().st_mtime_ns
    # Fresh: others are of one family, in which strings have the same hashes and objects the same addresses.
    child = start(**GRAPHS, fresh=True).ready()
    (used,) = said(child, "snapshot_used")
    assert used["collection"] == "things"
    assert used["tail"] == 0
    await subject.check(child)
    await stopped(child)
    # Nothing was written, so nothing was saved again: the file is the one that was used.
    (snapshot,) = snapshots_in(tmp_path / "data")
    assert (snapshot / "graph.bin").stat().st_mtime_ns == made
    assert not said(child, "snapshot_made")
    assert not said(child, "snapshot_refused")


async def test_a_snapshot_made_beside_the_server_is_caught_up_with(start: Start, tmp_path: Path) -> None:
    subject = Subject()
    child = start(**ALWAYS).ready()
    await subject.fill(child)
    await eventually(lambda: said(child, "snapshot_made"))
    await subject.change(child, 60)
    # Two more: one may have been begun before the changes; the last one carries the first on.
    before = len(said(child, "snapshot_made"))
    await eventually(lambda: len(said(child, "snapshot_made")) >= before + 1)
    await subject.change(child, 20)
    child.kill()
    assert snapshots_in(tmp_path / "data")
    child = start(**GRAPHS).ready()
    assert said(child, "snapshot_used")
    assert not said(child, "snapshot_refused")
    # Two where the kill came between the new one's name and the old one's end.
    assert len(snapshots_in(tmp_path / "data")) == 1
    await subject.check(child)
    await stopped(child)


async def test_a_kill_with_an_unsaved_tail_is_caught_up_with(start: Start) -> None:
    subject = Subject(200)
    child = start(**GRAPHS).ready()
    await subject.fill(child)
    await stopped(child)
    child = start(**GRAPHS, snapshot_after="1h").ready()
    await subject.change(child, 80)
    child.kill()
    child = start(**GRAPHS).ready()
    (used,) = said(child, "snapshot_used")
    assert isinstance(used["tail"], int)
    assert used["tail"] >= 40
    await subject.check(child)
    await stopped(child)


async def test_a_server_killed_inside_a_snapshot_leaves_no_child_and_nothing_half(
    start: Start, tmp_path: Path
) -> None:
    subject = Subject()
    data = tmp_path / "data"
    child = start(**GRAPHS).ready()
    await subject.fill(child)
    await stopped(child)
    for round_number in range(2):
        child = start(**ALWAYS).ready()
        server = psutil.Process(child.process.pid)
        async with grpc.aio.insecure_channel(child.grpc_address) as channel:
            writing = asyncio.create_task(
                until_it_dies(replace_some(channel, "things", subject.ledger, 10_000))
            )
            (maker,) = await eventually(server.children)
            # The child imports first, for some tenths of a second, and writes then.
            await asyncio.sleep(0.3 + 0.5 * round_number)
            child.process.kill()
            await writing
        child.kill()
        maker.wait(10)
        child = start(**GRAPHS, snapshot_after="1h").ready()
        assert leftovers_in(data) == []
        assert not said(child, "snapshot_refused")
        await subject.check(child)
        child.kill()


async def test_a_snapshot_child_that_is_killed_harms_nobody(start: Start, tmp_path: Path) -> None:
    subject = Subject()
    child = start(**ALWAYS).ready()
    await subject.fill(child)
    (maker,) = await eventually(psutil.Process(child.process.pid).children)
    with suppress(psutil.NoSuchProcess):  # it may have ended just now
        maker.kill()
    await eventually(lambda: said(child, "snapshot_failed") or said(child, "snapshot_made"))
    await subject.change(child, 20)
    await subject.check(child)
    await eventually(lambda: not leftovers_in(tmp_path / "data"))
    await stopped(child)
    assert len(snapshots_in(tmp_path / "data")) == 1


DAMAGES: dict[str, Damage] = {
    "graph cut in half": damages.truncate("graph.bin", 0.5),
    "a bit flipped in the graph": damages.flip("graph.bin", 0.6),
    "manifest missing": damages.remove("manifest.json"),
}
"""The ones that would crash a process that believed them; tests/unit has all the others."""


@pytest.mark.slow
async def test_a_damaged_snapshot_is_refused_and_built_again(start: Start, tmp_path: Path) -> None:
    subject = Subject()
    data = tmp_path / "data"
    child = start(**GRAPHS).ready()
    await subject.fill(child)
    await stopped(child)
    whole = tmp_path / "whole"
    shutil.copytree(data, whole)
    for name, damage in DAMAGES.items():
        shutil.rmtree(data)
        shutil.copytree(whole, data)
        (snapshot,) = snapshots_in(data)
        damage(snapshot)
        child = start(**GRAPHS).ready()
        refused = said(child, "snapshot_refused")
        assert [each["collection"] for each in refused] == ["things"], name
        assert refused[0]["reason"], name
        assert not said(child, "snapshot_used"), name
        await subject.check(child)
        child.kill()


async def test_a_snapshot_of_other_parameters_is_built_again(start: Start) -> None:
    subject = Subject()
    child = start(**GRAPHS).ready()
    await subject.fill(child)
    await stopped(child)
    child = start(**GRAPHS, hnsw_m="8").ready()
    assert said(child, "snapshot_refused")
    await subject.check(child)
    await stopped(child)
    child = start(**GRAPHS, hnsw_m="8").ready()
    assert said(child, "snapshot_used")
    await subject.check(child)
    await stopped(child)


async def test_two_snapshots_swapped_between_collections_are_refused(start: Start, tmp_path: Path) -> None:
    subject = Subject()
    child = start(**GRAPHS).ready()
    await subject.fill(child)
    async with grpc.aio.insecure_channel(child.grpc_address) as channel:
        await put_all(channel, "", Ledger("x", 150, random.Random(9)))
    await stopped(child)
    one, other = snapshots_in(tmp_path / "data")
    one.rename(tmp_path / "aside")
    other.rename(one)
    (tmp_path / "aside").rename(other)
    child = start(**GRAPHS).ready()
    assert {each["collection"] for each in said(child, "snapshot_refused")} == {"default", "things"}
    await subject.check(child)
    await stopped(child)


@pytest.mark.slow
async def test_compaction_under_load_loses_nothing(start: Start) -> None:
    subject = Subject(300)
    child = start(**ALWAYS).ready()
    await subject.fill(child)
    async with asyncio.timeout(90):
        while not said(child, "compaction_done"):
            await subject.change(child, 200)
    await subject.check(child)
    await subject.change(child, 50)
    child.kill()
    child = start(**GRAPHS).ready()
    await subject.check(child)
    await stopped(child)


async def test_a_clean_stop_saves_what_the_graph_got_since_its_last_snapshot(start: Start) -> None:
    subject = Subject()
    child = start(**ALWAYS).ready()
    await subject.fill(child)
    await eventually(lambda: said(child, "snapshot_made"))
    # Nothing is written any more, so that its seq stays; the graph goes on taking in what was in the tail.
    await stopped(child)
    child = start(**GRAPHS).ready()
    (used,) = said(child, "snapshot_used")
    assert used["tail"] == 0
    await stopped(child)

"""Nothing answered is lost, nothing is half there: a server killed at random moments under load.

One folder is kept over all kills, so that a fault which one kill leaves behind has many more to show in.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable

import grpc
import pytest

from ragapi.v1 import collection_service_pb2 as collections
from ragapi.v1.collection_service_pb2_grpc import CollectionServiceStub
from tests.process.child import Child
from tests.process.inspection import Inspection
from tests.process.ledger import Ledger
from tests.process.writers import call_on, stream_on, sweep_on, until_it_dies

Start = Callable[..., Child]

KILLS = int(os.environ.get("RAG_KILLS", "50"))
MIXED, SWEPT = "mixed", "swept"
SNAPSHOT_ALWAYS, SNAPSHOT_NEVER = "1ms", "1h"
UNSOUND = {"snapshot_refused", "index_rebuilt", "snapshot_broke", "snapshot_failed"}
"""What a server says of indexes that are not as it left them: no kill may bring that about."""


class Siege:
    """A folder, those who write to it, and the servers that come and go."""

    def __init__(self, start: Start, seed: int) -> None:
        self.random = random.Random(seed)
        self.mixed = [Ledger(name, 40, random.Random(self.random.random())) for name in ("s", "c", "d")]
        self.swept = [Ledger("w", 60, random.Random(self.random.random()))]
        self._start = start

    async def round(self) -> Child:
        """Start a server, check that all is there, write on, and kill it. Gives the dead."""
        snapshot_after = self.random.choice((SNAPSHOT_ALWAYS, SNAPSHOT_NEVER))
        early = self.random.random() < 0.15
        child = self._start(graph_from="64", snapshot_after=snapshot_after, fresh=early)
        if early:
            # In the middle of imports, loading, or a rebuild.
            await asyncio.sleep(self.random.uniform(0.0, 2.0))
        else:
            await asyncio.to_thread(child.ready)
            async with grpc.aio.insecure_channel(child.grpc_address) as channel:
                await self._write_until_killed(channel, child)
        await asyncio.to_thread(child.kill)
        return child

    async def check(self, channel: grpc.aio.Channel) -> None:
        """Compare everything with what the writers know."""
        stub = CollectionServiceStub(channel)
        for name in (MIXED, SWEPT):
            wanted = collections.Collection(name=name, chunking=collections.Chunking(without_context=True))
            await stub.CreateCollection(collections.CreateCollectionRequest(collection=wanted))
        await Inspection(channel, MIXED, self.random).settle(self.mixed)
        await Inspection(channel, SWEPT, self.random).settle(self.swept)

    async def _write_until_killed(self, channel: grpc.aio.Channel, child: Child) -> None:
        await self.check(channel)
        async with asyncio.TaskGroup() as tasks:
            streaming, *calling = self.mixed
            tasks.create_task(until_it_dies(stream_on(channel, MIXED, streaming)))
            for ledger in calling:
                tasks.create_task(until_it_dies(call_on(channel, MIXED, ledger)))
            tasks.create_task(until_it_dies(sweep_on(channel, SWEPT, self.swept[0])))
            # Short lives and long ones alike: 5 ms to 1.5 s, spread evenly over their magnitudes.
            await asyncio.sleep(0.005 * 300 ** self.random.random())
            child.process.kill()

    @property
    def answers(self) -> int:
        """Writes that were answered with success."""
        return sum(ledger.answers for ledger in (*self.mixed, *self.swept))


async def besiege(start: Start, kills: int, seed: int) -> None:
    siege = Siege(start, seed)
    events: set[str] = set()
    for _ in range(kills):
        child = await siege.round()
        events |= {each["event"] for each in child.events}
        wrong = [each for each in child.events if each["level"] in ("error", "critical")]
        assert not wrong, wrong
        # These alone, so that their reasons are not cut off among hundreds of calls.
        unsound = [each for each in child.events if each["event"] in UNSOUND]
        assert not unsound, unsound
    last = start(graph_from="64").ready()
    async with grpc.aio.insecure_channel(last.grpc_address) as channel:
        await siege.check(channel)
    last.stop()
    assert siege.answers > 20 * kills, "hardly anything was written"
    if kills >= 20:  # by then some lived long enough
        assert "snapshot_made" in events


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_kills_lose_nothing(start: Start) -> None:
    await besiege(start, min(KILLS, 50), seed=2)


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
async def test_many_kills_lose_nothing(start: Start) -> None:
    await besiege(start, KILLS, seed=int(os.environ.get("RAG_SEED", "500")))

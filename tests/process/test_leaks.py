"""However calls end, and however their callers do, nothing of them stays.

Two hundred calls of every method are answered, cancelled, overtaken by their deadline, and left behind by
a client that is killed; fewer where not all rounds are played. The numbers before it are taken after a
first, smaller round of the same.
"""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rag_grpc.app import running_server
from rag_grpc.rpc.server import methods
from rag_grpc.settings import Settings
from ragapi.v1 import collection_service_pb2 as collections
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1.collection_service_pb2_grpc import CollectionServiceStub
from ragapi.v1.ingestion_service_pb2_grpc import IngestionServiceStub
from ragapi.v1.types_pb2 import Document
from tests.process.child import Child
from tests.process.every_call import AT_ONCE, EVERY, KEPT, PASSING, Caller
from tests.rounds import rounds

ROOT = Path(__file__).parents[2]
CALLS = rounds(200)
KILLED = 8
"""Clients that are killed, each with its share of the calls in flight."""
FEWER = AT_ONCE
"""Calls that find what is made once: caches, pools, threads that wait for more."""

SETTLE = 40.0
"""Seconds for a server to come to rest. gRPC ends a thread that had nothing to do for some twenty."""
MEMORY = 0.05
"""Growth that is allowed, as a share."""
PAGES = 4096
"""KiB that may be more in any case: allocators keep a page, and Python an arena of 1 MiB, while anything
small lives in it. Over some 25,000 calls that is 160 bytes each, less than what would leak of a call."""
ROUNDS = 2
"""Rounds within which memory must cease to grow: allocators may keep more of one, a leak grows in each."""
LOOKS = 20
"""How often memory is looked at. What is unreachable lies there until the garbage collector comes by, which
is when enough has been allocated: some megabytes come and go, and the least that is seen counts."""

UNBOUNDED = {"max_reads": "9999", "max_writes": "9999", "max_streams": "9999"}
"""So that every call is served and none is turned away."""


def call_everything(address: str, calls: int, killed: int) -> None:
    """End `calls` calls of every method in every way, and leave things as they were found."""
    with grpc.insecure_channel(address) as channel:
        IngestionServiceStub(channel).IngestDocument(
            ingestion.IngestDocumentRequest(document=Document(doc_id=KEPT, text="always there"))
        )
        caller = Caller(channel, seed=1)
        for called in EVERY:
            caller.until_done(called, calls)
            caller.until_cancelled(called, calls)
            caller.until_too_late(called, calls)
    chance = random.Random(2)
    for _ in range(killed):
        kill_a_client(address, calls // killed, after=chance.uniform(0, 0.1))
    with grpc.insecure_channel(address) as channel:
        for name in PASSING:
            CollectionServiceStub(channel).DeleteCollection(collections.DeleteCollectionRequest(name=name))


def kill_a_client(address: str, calls: int, after: float) -> None:
    """Kill a client that has `calls` calls of every method in flight, `after` seconds into them."""
    command = [sys.executable, "-m", "tests.process.restless_client", address, str(calls)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "busy\n"
        time.sleep(after)
        client.kill()


def wait_until(condition: Callable[[], bool], otherwise: Callable[[], object]) -> None:
    """Wait for what must come; where it does not, say what is instead."""
    until = time.monotonic() + SETTLE
    while not condition():
        assert time.monotonic() < until, otherwise()
        time.sleep(0.05)


def in_progress(child: Child) -> dict[str, float]:
    """What a server counts of its calls and of their documents; nothing where all have ended."""
    with urllib.request.urlopen(f"http://{child.http_address}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families for sample in family.samples]
    found = {each.name: each.value for each in samples if each.name.startswith("rag_ingest_budget_")}
    del found["rag_ingest_budget_limit_bytes"]
    for each in samples:
        step = {"grpc_server_started_total": 1, "grpc_server_handled_total": -1}.get(each.name, 0)
        if step:
            method = f"{each.labels['grpc_service']}/{each.labels['grpc_method']}"
            found[method] = found.get(method, 0) + step * each.value
    return {name: value for name, value in found.items() if value}


def anonymous_memory(child: Child) -> int:
    """Give the memory that is the process's own, in KiB; files that it maps are not among it."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{child.process.pid}/status").read_text())
    assert found is not None
    return int(found[1])


def least_memory(child: Child, looks: int, enough: float = 0.0) -> int:
    """Give the least anonymous memory that is seen between queries, or the first that is `enough`."""
    query = next(called for called in EVERY if called.path.endswith("/Query"))
    least = anonymous_memory(child)
    with grpc.insecure_channel(child.grpc_address) as channel:
        caller = Caller(channel, seed=3)
        while looks and least > enough:
            caller.until_done(query, AT_ONCE)
            least = min(least, anonymous_memory(child))
            looks -= 1
    return least


def test_every_method_of_the_server_is_called() -> None:
    assert {called.path for called in EVERY} == {method.path for method in methods()}


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_no_end_of_a_call_leaves_anything_in_the_process(start: Callable[..., Child]) -> None:
    # Fresh: a forked one begins with another process's memory, and shares it.
    child = start(**UNBOUNDED, fresh=True).ready()
    process = psutil.Process(child.process.pid)
    # As many as are counted below: what allocators keep of a first round, they do not keep again of a second.
    call_everything(child.grpc_address, CALLS, KILLED // 2)
    wait_until(lambda: not in_progress(child), lambda: in_progress(child))
    memory = least_memory(child, LOOKS // 4)
    threads, descriptors = process.num_threads(), process.num_fds()

    for _ in range(ROUNDS):
        call_everything(child.grpc_address, CALLS, KILLED)
        wait_until(lambda: not in_progress(child), lambda: in_progress(child))
        bound = memory + max(memory * MEMORY, PAGES)
        least = least_memory(child, LOOKS, bound)
        if least <= bound:
            break
        memory = least
    assert least <= bound
    wait_until(lambda: process.num_fds() <= descriptors, process.open_files)
    wait_until(lambda: process.num_threads() <= threads, process.threads)
    child.stop()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_no_end_of_a_call_leaves_a_task_or_a_place(tmp_path: Path) -> None:
    settings = Settings(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        data_dir=tmp_path / "data",
        drain_pause=0.0,
        disk_reserve_bytes=0,
        max_reads=9999,
        max_writes=9999,
        max_streams=9999,
    )
    async with running_server(settings) as server:
        tasks = len(asyncio.all_tasks())

        await asyncio.to_thread(call_everything, server.grpc_address, AT_ONCE, 1)

        await asyncio.wait_for(server.chain.idle(), SETTLE)
        loop = asyncio.get_running_loop()
        until = loop.time() + SETTLE
        while len(asyncio.all_tasks()) > tasks and loop.time() < until:  # noqa: ASYNC110 # tasks tell nobody
            await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) <= tasks, asyncio.all_tasks()
        assert not server.health._watchers
        assert server.registry.get_sample_value("rag_ingest_budget_bytes") == 0
        assert server.catalogue._lanes.idle

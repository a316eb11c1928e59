"""Large pages are asked for where a graph is, and nowhere else."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import platform
import re
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rag_grpc.core.models import Metric
from rag_grpc.stores.embedded.dense_index import IndexParameters
from rag_grpc.stores.embedded.embedded_settings import EmbeddedSettings
from rag_grpc.stores.embedded.graph import Graph
from rag_grpc.stores.embedded.large_pages import LEAST_BYTES, ask_for_large_pages
from rag_grpc.stores.embedded.store import EmbeddedStore
from tests.contracts.fakes import JsonCodec, Records, find, prepared, put, spec

pytestmark = pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage/enabled").exists(), reason="this kernel has none"
)


COLLAPSES_FROM = (6, 1)
"""The first Linux that makes large pages of what is there when it is told to."""


def advised_kilobytes() -> int:
    """How much of the memory of this process may have large pages because somebody asked."""
    total = size = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.startswith("Size:"):
            size = int(line.split()[1])
        elif line.startswith("VmFlags:") and " hg" in line:
            total += size
    return total


def graph_that_grows() -> tuple[int, int, int]:
    """Make a graph and let it grow; gives the advised KiB before, with it, and after."""
    before = advised_kilobytes()
    graph = Graph(dimension=1024, metric=Metric.COSINE, m=4, ef_construction=8, capacity=8192)
    first = advised_kilobytes()
    rows = np.eye(1024, dtype=np.float32)
    for start in range(0, 10_240, 1024):
        graph.add(np.arange(start, start + 1024), rows, start + 1024, threads=2)
    labels, _, _ = graph.nearest(rows[:1], 1)
    assert len(labels[0]) == 1
    return before, first, advised_kilobytes()


def test_a_graph_has_them_also_when_it_has_grown() -> None:
    # A process of its own: here, the graph could be where that of another test was, which is advised already.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        before, first, grown = fresh.submit(graph_that_grows).result(60)
    assert first - before >= 8192 * 4
    assert grown - before >= 12_000 * 4


def _kernel() -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", platform.release())[:2])


def large_kilobytes() -> int:
    """How much of the memory of this process has large pages."""
    found = re.search(r"AnonHugePages:\s+(\d+)", Path("/proc/self/smaps_rollup").read_text())
    assert found is not None
    return int(found[1])


def graph_beside_a_child() -> tuple[int, int, int]:
    """Write to a graph beside a forked child; gives the KiB in large pages before, then, and after."""
    graph = Graph(dimension=1024, metric=Metric.COSINE, m=4, ef_construction=8, capacity=16_384)
    rows = np.random.default_rng(0).normal(size=(12_288, 1024)).astype(np.float32)
    graph.add(np.arange(8192), rows[:8192], 8192, threads=2)
    first = large_kilobytes()
    child = os.fork()
    if not child:
        try:
            signal.pause()
        finally:
            os._exit(0)
    try:
        graph.add(np.arange(8192, 12_288), rows[8192:], 12_288, threads=2)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    beside = large_kilobytes()
    graph.regain_large_pages()
    return first, beside, large_kilobytes()


def test_a_graph_has_them_again_after_a_fork() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        first, beside, again = fresh.submit(graph_beside_a_child).result(60)
    if first < 8192 * 4 or _kernel() < COLLAPSES_FROM:
        pytest.skip("this kernel has none to give, or not at once")
    assert beside < first
    assert again >= first


def graph_that_is_loaded(file: Path) -> tuple[int, int, int]:
    """Load a graph; gives the KiB in large pages then, after five pages, and after all were asked for."""
    made = Graph(dimension=1024, metric=Metric.COSINE, m=4, ef_construction=8, capacity=8192)
    rows = np.random.default_rng(0).normal(size=(8192, 1024)).astype(np.float32)
    made.add(np.arange(8192), rows, 8192, threads=2)
    made.save(file)
    del made
    graph = Graph(dimension=1024, metric=Metric.COSINE, m=4, ef_construction=8, capacity=8192, file=file)
    loaded = large_kilobytes()
    pages = iter(range(5))
    graph.regain_large_pages(lambda: next(pages, None) is not None)
    begun = large_kilobytes()
    graph.regain_large_pages()
    labels, _, _ = graph.nearest(rows[7:8], 1)
    assert len(labels[0]) == 1
    return loaded, begun, large_kilobytes()


def test_a_graph_that_was_loaded_has_them_when_it_asks(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        loaded, begun, asked = fresh.submit(graph_that_is_loaded, tmp_path / "graph.bin").result(60)
    if _kernel() < COLLAPSES_FROM:
        pytest.skip("this kernel makes none at once")
    assert asked - loaded >= 8192 * 4 * 0.9
    assert begun - loaded <= 5 * 2048


async def test_a_start_asks_for_them_without_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EmbeddedSettings(index=IndexParameters(graph_from=8), disk_reserve_bytes=0)
    asking = threading.Event()
    asked: list[int] = []

    def regain(graph: Graph, go_on: Callable[[], bool]) -> None:
        asked.append(len(graph))
        asking.set()
        while go_on():
            time.sleep(0.01)

    for begun in (True, False):
        if not begun:
            monkeypatch.setattr(Graph, "regain_large_pages", regain)
        store = EmbeddedStore(tmp_path, codec=JsonCodec(), telemetry=Records(), settings=settings)
        await store.open()
        if begun:
            await store.create_collection(spec("without"), "")
            collection = await store.create_collection(spec(), "")
            for number, row in enumerate(np.eye(40, 4, dtype=np.float32) + 0.1):
                await put(store, collection, prepared(f"d-{number:02}", row))
        else:
            # It answers while that goes on, and its stop ends it.
            assert await asyncio.to_thread(asking.wait, 10)
            assert (await find(store, store.collection("things"), (1, 0, 0, 0))).hits
        await store.close()
    assert asked == [40]


def test_small_memory_is_left_alone() -> None:
    assert ask_for_large_pages(LEAST_BYTES - 1) == 0

"""Large pages are asked for where a graph is, and nowhere else."""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rag_grpc.core.models import Metric
from rag_grpc.stores.embedded.graph import Graph
from rag_grpc.stores.embedded.large_pages import LEAST_BYTES, ask_for_large_pages

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


def test_small_memory_is_left_alone() -> None:
    assert ask_for_large_pages(LEAST_BYTES - 1) == 0

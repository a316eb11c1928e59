"""Plots are small files with every line in them; matplotlib comes with the extra "bench"."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("matplotlib", reason="the extra 'bench' is not installed")

from benchmarks.peers.results import LoadPoint, Outcome, Results, SweepPoint
from benchmarks.plots import Axes, draw_growth, draw_lines, draw_peers


def texts(file: Path) -> list[str]:
    tree = ET.parse(file)  # noqa: S314 - written by this test
    return ["".join(each.itertext()) for each in tree.iter("{http://www.w3.org/2000/svg}text")]


def test_every_line_is_named_and_the_ground_is_clear(tmp_path: Path) -> None:
    file = tmp_path / "lines.svg"
    draw_lines({"first": [(1, 2), (10, 20)], "second": [(1, 5)]}, Axes("title", "x", "y", log_x=True), file)
    assert {"first", "second", "title", "x", "y"} <= set(texts(file))
    assert "fill: #ffffff" not in file.read_text()
    assert file.stat().st_size < 30_000


def test_the_same_figures_are_the_same_file(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        draw_growth({"ms": [(10_000, 1.0), (1_000_000, 2.0)]}, "latency, ms", tmp_path / folder / "g.svg")
    assert (tmp_path / "one" / "g.svg").read_bytes() == (tmp_path / "two" / "g.svg").read_bytes()


def test_peers_that_failed_are_not_drawn(tmp_path: Path) -> None:
    measured = Outcome(sweep=[SweepPoint(20, 0.9, 10.0)], load=[LoadPoint(1, 10.0, 1.0, 2.0)])
    draw_peers(Results(1, {"rag-grpc": measured, "Milvus": Outcome(failure="no")}), tmp_path)
    for name in ("recall.svg", "latency.svg"):
        assert "rag-grpc" in texts(tmp_path / name)
        assert "Milvus" not in texts(tmp_path / name)

"""Draws figures as small SVG files that can be read on light and on dark pages. It alone needs matplotlib.

Each function takes plain values, so that any measuring can use it. Lines, text and
marks have colours that stand out from white and from black alike; the ground is clear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from benchmarks.peers.results import Results

INK = "#808080"
COLOURS = ("#e6550d", "#3182bd", "#31a354", "#9467bd", "#c49c00", "#17a2b8", "#d6279a", "#8c6d5a")
MARKS = "osD^vPX*"
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axes:
    """What is on the two axes, and which of them are logarithmic."""

    title: str
    x: str
    y: str
    log_x: bool = False
    log_y: bool = False


def draw_lines(lines: Mapping[str, Points], axes: Axes, file: Path) -> None:
    """Draw one line a name through its points, with a legend, as SVG."""
    # Text stays text: the file is smaller, and a reader's own font is used. No date, so that the same figures
    # are the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": file.stem, "font.size": 10}):
        figure = Figure(figsize=(7, 4), layout="constrained")
        canvas = FigureCanvasSVG(figure)
        plot = figure.add_subplot()
        for number, (name, points) in enumerate(lines.items()):
            style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKS[number % len(MARKS)]}
            plot.plot(*zip(*points, strict=True), label=name, linewidth=1.8, markersize=5, **style)
        _dress(plot, axes)
        file.parent.mkdir(parents=True, exist_ok=True)
        canvas.print_svg(file, metadata={"Date": None, "Creator": None})


def _dress(plot: Any, axes: Axes) -> None:
    plot.set_title(axes.title, color=INK)
    plot.set_xlabel(axes.x, color=INK)
    plot.set_ylabel(axes.y, color=INK)
    for axis, logarithmic, scale in (
        (plot.xaxis, axes.log_x, plot.set_xscale),
        (plot.yaxis, axes.log_y, plot.set_yscale),
    ):
        if logarithmic:
            scale("log")
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_minor_formatter(FuncFormatter(lambda _value, _place: ""))
        axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,.10g}"))
    if not axes.log_y:
        # A fifth more shall look like a fifth.
        plot.set_ylim(bottom=0)
    plot.tick_params(which="both", colors=INK)
    plot.grid(visible=True, color=INK, alpha=0.25, linewidth=0.6)
    for side in plot.spines.values():
        side.set_color(INK)
    plot.patch.set_alpha(0)
    plot.figure.patch.set_alpha(0)
    plot.legend(labelcolor=INK, facecolor="none", edgecolor="none")


def draw_recall(results: Results, file: Path) -> None:
    """Recall against throughput, a point for each search effort."""
    lines = {
        name: [(point.recall, point.throughput) for point in outcome.sweep]
        for name, outcome in results.outcomes.items()
        if outcome.sweep
    }
    title = f"{results.count:,} vectors, 32 queries in flight"
    axes = Axes(title, "recall@10", "queries a second", log_y=True)
    draw_lines(lines, axes, file)


def draw_latency(results: Results, file: Path) -> None:
    """Latency against load: median, a point for each number of queries in flight."""
    lines = {
        name: [(point.in_flight, point.p50_ms) for point in outcome.load]
        for name, outcome in results.outcomes.items()
        if outcome.load
    }
    axes = Axes(
        f"{results.count:,} vectors, equal recall",
        "queries in flight",
        "median latency, ms",
        log_x=True,
        log_y=True,
    )
    draw_lines(lines, axes, file)


def draw_growth(lines: Mapping[str, Points], what: str, file: Path) -> None:
    """Draw how something grows: the x of each point is a number of chunks."""
    draw_lines(lines, Axes(f"{what} as the collection grows", "chunks", what, log_x=True), file)


def draw_peers(results: Results, folder: Path) -> None:
    """Draw all that a run beside peers has."""
    draw_recall(results, folder / "recall.svg")
    draw_latency(results, folder / "latency.svg")

"""Plots as SVG inside the page: lines by cutoff, and how often times lie where.

Colours are classes of the page's style, so that they follow light and dark. Every point has a title, and the
page has the same numbers in a table, for those who cannot see a plot.
"""

from __future__ import annotations

from math import ceil, floor, log10
from typing import TYPE_CHECKING, NamedTuple

from rag_client.cli.evaluation.markup import Markup, joined, tag

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 36, 12, 12, 40
BARS = 24
SHARE_BARS = 20
LEAST = 0.001
"""Milliseconds: less cannot be measured, and has no place on a scale of decades."""
NARROWEST = 0.3
"""Decades that a plot of times shows at least."""
MANY_DECADES = 2


class Line(NamedTuple):
    """One line of a plot: what it is called, how it is drawn (a class), and its value at each place."""

    label: str
    style: str
    values: Sequence[float | None]


def lines_by_cutoff(title: str, cutoffs: Sequence[int], lines: Sequence[Line]) -> Markup:
    """Draw values from 0 to 1, one place for each cutoff."""
    room = WIDTH - LEFT - RIGHT
    xs = [LEFT + room * (place + 0.5) / len(cutoffs) for place in range(len(cutoffs))]
    parts = [_grid_of_shares()]
    parts += [
        tag("text", f"{k}", x=x, y=HEIGHT - BOTTOM + 16, class_="tick middle")
        for x, k in zip(xs, cutoffs, strict=True)
    ]
    parts.append(tag("text", "hits looked at (k)", x=LEFT + room / 2, y=HEIGHT - 6, class_="axis middle"))
    for line in reversed(lines):  # the first on top
        points = [
            (x, _height_of(value), value)
            for x, value in zip(xs, line.values, strict=True)
            if value is not None
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        parts.append(tag("polyline", points=path, class_=f"line {line.style}"))
        parts += [
            tag(
                "circle",
                tag("title", f"{line.label}: {value:.4f}"),
                cx=x,
                cy=y,
                r=4,
                class_=f"dot {line.style}",
            )
            for x, y, value in points
        ]
    return _plot(title, parts, [(line.label, line.style) for line in lines])


class Times:
    """Times on a scale of decades, in milliseconds, and how many lie in each of some equal parts of it."""

    def __init__(self, seconds: Sequence[float]) -> None:
        times = [max(each * 1000, LEAST) for each in seconds]
        self.low, self.high = log10(min(times)), log10(max(times))
        if self.high - self.low < NARROWEST:
            self.low, self.high = self.low - NARROWEST / 2, self.high + NARROWEST / 2
        self.counts = [0] * BARS
        for each in times:
            self.counts[min(BARS - 1, int(self._share(each) * BARS))] += 1

    def _share(self, milliseconds: float) -> float:
        share = (log10(max(milliseconds, LEAST)) - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0)

    def place(self, milliseconds: float) -> float:
        """Say where on the plot a time lies."""
        return LEFT + (WIDTH - LEFT - RIGHT) * self._share(milliseconds)

    def begin(self, bar: int) -> float:
        """Say at how many milliseconds a bar begins."""
        return float(10 ** (self.low + (self.high - self.low) * bar / BARS))

    def ticks(self) -> list[float]:
        """Choose round numbers: the fewer decades there are, the more of each."""
        span = self.high - self.low
        digits: Sequence[int] = range(1, 10) if span < 1 else (1, 2, 5) if span < MANY_DECADES else (1,)
        decades = range(floor(self.low), ceil(self.high) + 1)
        every = [digit * 10.0**decade for decade in decades for digit in digits]
        return [each for each in every if self.low <= log10(each) <= self.high]


def histogram(title: str, seconds: Sequence[float], marks: Sequence[tuple[str, float]]) -> Markup:
    """Draw how many of these times lie where; `marks` are named ones, drawn as lines, two at most."""
    times = Times(seconds)
    bottom, tallest = HEIGHT - BOTTOM, max(times.counts)
    parts = [
        tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom, class_="base"),
        tag("text", f"{tallest:,}", x=LEFT - 6, y=TOP + 8, class_="tick end"),
        tag("text", "0", x=LEFT - 6, y=bottom, class_="tick end"),
        *(_bar(times, bar, tallest) for bar in range(BARS) if times.counts[bar]),
        *(
            tag("text", f"{each:g}", x=times.place(each), y=bottom + 16, class_="tick middle")
            for each in times.ticks()
        ),
        tag("text", "milliseconds", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 6, class_="axis middle"),
    ]
    legend = [(label, f"mark {style}") for (label, _), style in zip(marks, ("now", "then"), strict=False)]
    for (label, value), (_, style) in zip(marks, legend, strict=True):
        name, x = tag("title", f"{label}: {value * 1000:.1f} ms"), times.place(value * 1000)
        parts.append(tag("line", name, x1=x, x2=x, y1=TOP, y2=bottom, class_=style))
    return _plot(title, parts, legend)


def shares(title: str, values: Sequence[float], what: str) -> Markup:
    """Draw how many values from 0 to 1 lie where; `what` is what each of them is of."""
    counts = [0] * SHARE_BARS
    for value in values:
        counts[min(SHARE_BARS - 1, int(max(value, 0.0) * SHARE_BARS))] += 1
    bottom, tallest, width = HEIGHT - BOTTOM, max(*counts, 1), (WIDTH - LEFT - RIGHT) / SHARE_BARS
    parts = [
        tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=bottom, y2=bottom, class_="base"),
        tag("text", f"{tallest:,}", x=LEFT - 6, y=TOP + 8, class_="tick end"),
        tag("text", "0", x=LEFT - 6, y=bottom, class_="tick end"),
        *(
            tag(
                "text",
                f"{quarter / 4:g}",
                x=LEFT + (WIDTH - LEFT - RIGHT) * quarter / 4,
                y=bottom + 16,
                class_="tick middle",
            )
            for quarter in range(5)
        ),
        tag("text", title.lower(), x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 6, class_="axis middle"),
    ]
    for bar, count in enumerate(counts):
        if not count:
            continue
        height = (bottom - TOP) * count / tallest
        label = f"{bar / SHARE_BARS:g} to {(bar + 1) / SHARE_BARS:g}: {_counted(count, what)}"
        parts.append(_column(label, LEFT + width * bar + 0.5, width - 1, height))
    return _plot(title, parts, [])


def _counted(count: int, what: str) -> str:
    plural = what[:-1] + "ies" if what.endswith("y") else what + "s"
    return f"{count:,} {what if count == 1 else plural}"


def _column(label: str, x: float, width: float, height: float) -> Markup:
    return tag(
        "rect",
        tag("title", label),
        x=x,
        y=HEIGHT - BOTTOM - height,
        width=width,
        height=height,
        class_="bar",
    )


def _bar(times: Times, bar: int, tallest: int) -> Markup:
    count, width = times.counts[bar], (WIDTH - LEFT - RIGHT) / BARS
    height = (HEIGHT - TOP - BOTTOM) * count / tallest
    label = f"{times.begin(bar):.3g} to {times.begin(bar + 1):.3g} ms: {_counted(count, 'query')}"
    return _column(label, LEFT + width * bar + 0.5, width - 1, height)


def _height_of(share: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(max(share, 0.0), 1.0)


def _grid_of_shares() -> Markup:
    parts: list[Markup] = []
    for quarter in range(5):
        y = _height_of(quarter / 4)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid" if quarter else "base"))
        parts.append(tag("text", f"{quarter / 4:g}", x=LEFT - 6, y=y + 4, class_="tick end"))
    return joined(parts)


def _plot(title: str, parts: Sequence[Markup], legend: Sequence[tuple[str, str]]) -> Markup:
    drawing = tag(
        "svg",
        tag("title", title),
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=title,
    )
    keys = [
        tag("span", tag("i", class_=f"key {style}", aria_hidden="true"), label) for label, style in legend
    ]
    caption = tag("figcaption", tag("strong", title), tag("span", *keys, class_="legend"))
    return tag("figure", caption, drawing)

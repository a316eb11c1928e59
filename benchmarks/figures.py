"""Figures with floors: what a measuring prints, writes as JSON, and fails by."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One value, and the least that it must be, where there is such a bound."""

    what: str
    measure: str
    value: float
    floor: float | None = None

    @property
    def reached(self) -> bool:
        """Whether it is what it must be."""
        return self.floor is None or self.value >= self.floor


class Table:
    """Prints figures as they come, and keeps them."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self._began = time.perf_counter()

    def add(self, figure: Figure) -> None:
        """Take a figure."""
        self.figures.append(figure)
        verdict = "yes" if figure.reached else "NO"
        bound = "" if figure.floor is None else f"  at least {figure.floor:.4f}: {verdict}"
        seconds = time.perf_counter() - self._began
        print(f"{seconds:5.0f} s  {figure.value:.4f} {figure.measure:8} {figure.what}{bound}", flush=True)

    def end(self, file: Path | None) -> int:
        """Write all figures to a file, where there is one, and give the exit code: 1 where one is missed."""
        if file:
            rows = [[each.what, each.measure, each.value, each.floor] for each in self.figures]
            file.write_text(json.dumps(rows, indent=1))
        missed = [each for each in self.figures if not each.reached]
        print(f"\n{len(self.figures) - len(missed)} of {len(self.figures)} figures as they must be.")
        return 1 if missed else 0

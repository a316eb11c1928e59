"""The rows that every contender stores: ids, texts of 270 characters, metadata, vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXT = "lorem ipsum dolor sit amet " * 10
DATA = ("base", "queries", "truth")


@dataclass(frozen=True, slots=True)
class Stored:
    """Columns, made before any clock starts."""

    ids: list[str]
    texts: list[str]
    metadata: list[dict[str, Any]]
    vectors: NDArray[np.float32]


def stored(folder: Path, rows: int) -> Stored:
    """Make the columns of the first `rows` rows of the vectors in `folder`."""
    vectors = np.load(folder / "base.npy")[:rows]
    numbers = range(len(vectors))
    return Stored(
        ids=[f"doc-{number}" for number in numbers],
        texts=[text(number) for number in numbers],
        metadata=[metadata(number) for number in numbers],
        vectors=vectors,
    )


def text(number: int) -> str:
    """Return a text that differs in each row."""
    return f"{number} {TEXT}"[:270]


def metadata(number: int) -> dict[str, Any]:
    """Return a number and two strings, one of which a hundredth of the rows share."""
    return {"number": number, "lang": "en", "source": f"file-{number % 100}.txt"}


def whole(hit_text: Any, hit_metadata: Any) -> bool:
    """Whether a hit came back with its own text and metadata."""
    values = dict(hit_metadata)
    return bool(hit_text == text(int(values["number"])) and values == metadata(int(values["number"])))


def slices(rows: int, batch: int) -> Sequence[slice]:
    """Cut rows into batches."""
    return [slice(start, min(start + batch, rows)) for start in range(0, rows, batch)]

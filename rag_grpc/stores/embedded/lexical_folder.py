"""The folder of an index of words: what it is called, what it was made by, how far it is whole.

A collection may have several: one that is being made lies beside the one that serves.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

REACHED: Final = "reached.json"
META: Final = "meta.json"
"""Tantivy's own list of segments."""
PREFIX: Final = "lexical-"


class LexicalFault(Exception):
    """The index cannot be read or written: it is to be made anew from the database."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What an index on disk was made by, and the seq up to which it is whole."""

    format: int
    analyzer: str
    language: str
    without_context: bool
    uid: str
    seq: int


class faults:  # noqa: N801  # reads as a statement: with _faults("cannot be opened")
    """Turns whatever tantivy raises into LexicalFault: ValueError mostly, and Rust's panics."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None or isinstance(error, LexicalFault | KeyboardInterrupt | SystemExit):
            return
        # A panic of Rust arrives as a BaseException, which nothing else here would catch.
        raise LexicalFault(f"the index of words {self._what}: {error}") from error


def folders(parent: Path) -> list[Path]:
    """Find the index folders of a collection, whole or not, newest first."""
    return sorted(parent.glob(f"{PREFIX}*"), reverse=True)


def new_folder(parent: Path) -> Path:
    """Name a folder that does not exist yet, and is newer than all that do."""
    return parent / f"{PREFIX}{time.time_ns():020}"


def dead_share(folder: Path) -> float | None:
    """Say which share of an index's chunks is dead, None where its list of segments cannot be read."""
    try:
        segments = json.loads((folder / META).read_text("utf-8"))["segments"]
    except (OSError, ValueError, KeyError):
        # A damaged index shows when it is searched.
        return None
    chunks = sum(each["max_doc"] for each in segments)
    dead = sum(each["deletes"]["num_deleted_docs"] for each in segments if each["deletes"])
    return dead / chunks if chunks else 0.0


def read_reached(folder: Path) -> Reached:
    """Read what an index was made by. Raises LexicalFault."""
    try:
        return Reached(**json.loads((folder / REACHED).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise LexicalFault(f"{REACHED} cannot be read: {error}") from error


def write_reached(folder: Path, reached: Reached) -> None:
    """Replace the file in one step. The seq in it counts once it is on the disk: the log is cut there."""
    path = folder / REACHED
    making = path.with_suffix(".making")
    with making.open("w", encoding="utf-8") as file:
        json.dump(asdict(reached), file)
        file.flush()
        os.fsync(file.fileno())
    making.replace(path)

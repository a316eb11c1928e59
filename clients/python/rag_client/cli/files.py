"""Which files a command line means, and what their documents are called.

A document's id is its path, relative to --root (the current folder unless given): so `docs`, `docs/*.md` and
`./docs` name the same documents, and ingesting again replaces them. What lies outside of the root is named
from the folder above the PATH that was given.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UNSEEN = {"__pycache__", "node_modules"}
"""Folders that hold what programs made, passed over like those whose names begin with a dot."""

WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to be read, and what its document, if it is one, is called."""

    path: Path
    doc_id: str
    size: int


class NothingThereError(Exception):
    """A PATH that names no file."""


def find(paths: Iterable[str], root: Path) -> Iterator[SourceFile]:
    """Yield the files of files, folders and globs, in order, each once.

    Raises NothingThereError for a path that names none.
    """
    seen: set[Path] = set()
    for given in paths:
        for start in _matches(given):
            for path in _walk(start):
                resolved = path.resolve()
                if resolved not in seen:
                    seen.add(resolved)
                    yield SourceFile(path, _doc_id(resolved, start, root), resolved.stat().st_size)


def _matches(given: str) -> list[Path]:
    path = Path(given)
    if path.exists():
        return [path]
    # The shell expands globs itself, unless they are quoted or it lacks **.
    found = sorted(glob.glob(given, recursive=True)) if WILD & set(given) else []  # noqa: PTH207 - takes ** in absolute patterns too
    if not found:
        raise NothingThereError(f"{given}: no such file or folder")
    return [Path(each) for each in found]


def _walk(start: Path) -> Iterator[Path]:
    if not start.is_dir():
        yield start
        return
    for folder, folders, names in os.walk(start):  # links to folders are not followed: they may lead round
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in UNSEEN)
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _doc_id(path: Path, start: Path, root: Path) -> str:
    for base in (root.resolve(), start.resolve().parent):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return path.name  # a link that leads somewhere else

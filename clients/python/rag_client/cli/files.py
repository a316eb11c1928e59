"""Which files a command line means, and what their documents are called.

A document's id is its path, relative to --root (the current folder unless given): so `docs`, `docs/*.md` and
`./docs` name the same documents, and ingesting again replaces them. What lies outside of the root is named
from the folder above the PATH that was given.

The same path, and the folder that it is relative to, go into the document's metadata: `ragctl ingest --sync`
knows by them which documents came from a folder.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

UNSEEN = {"__pycache__", "node_modules"}
"""Folders that hold what programs made, passed over like those whose names begin with a dot."""

WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file is: a path with slashes, in a source. The path "." is the source itself."""

    source: str
    path: str

    def holds(self, other: Place) -> bool:
        """Say whether `other` is this place or lies below it."""
        below = self.path in {".", other.path} or other.path.startswith(self.path + "/")
        return self.source == other.source and below


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to be read; `modified` in seconds since 1970. Its path in the source is its document's id."""

    path: Path
    place: Place
    size: int
    modified: float

    @property
    def doc_id(self) -> str:
        """Return the id of its document."""
        return self.place.path

    def facts(self) -> dict[str, Any]:
        """Return what the metadata of its document say of the file."""
        changed = datetime.fromtimestamp(int(self.modified), UTC)
        return {
            "path": self.place.path,
            "source": self.place.source,
            "size": self.size,
            "modified_time": changed.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


@dataclass(frozen=True, slots=True)
class Unread:
    """What was not read, and why.

    "failed" is what should have been a document, "skipped" what is none, "warning" what was left out of one.
    Whatever came from `place` earlier may still be there.
    """

    name: str
    why: str
    kind: Literal["failed", "skipped", "warning"]
    place: Place | None = None


class NothingThereError(Exception):
    """A PATH that names no file."""


class Finder:
    """Finds files. `source` names where they are from; unless given, it is the folder that ids begin at."""

    def __init__(self, root: Path, source: str = "", *, report: Callable[[Unread], None]) -> None:
        self._root = root.resolve()
        self._source = source
        self._report = report

    def find(self, paths: Iterable[str]) -> Iterator[SourceFile]:
        """Yield the files of files, folders and globs, in order, each once.

        Raises NothingThereError for a path that names none. What cannot be looked at is reported.
        """
        seen: set[Path] = set()
        for given in paths:
            for start in _matches(given):
                for path in self._walk(start):
                    resolved = path.resolve()
                    if resolved not in seen:
                        seen.add(resolved)
                        yield from self._file(path, resolved, start)

    def place(self, given: str) -> Place:
        """Return the place of a PATH, whether it is there or not."""
        path = Path(given)
        return self._place(path.resolve(), path)

    def _file(self, path: Path, resolved: Path, start: Path) -> Iterator[SourceFile]:
        place = self._place(resolved, start)
        try:
            place.path.encode()
            status = resolved.stat()
        except UnicodeEncodeError:
            self._report(Unread(str(path), "its name is not UTF-8, which ids are", "failed", place))
            return
        except OSError as error:  # it is gone already
            self._report(Unread(str(path), error.strerror or str(error), "failed", place))
            return
        yield SourceFile(path, place, status.st_size, status.st_mtime)

    def _walk(self, start: Path) -> Iterator[Path]:
        if not start.is_dir():
            yield start
            return

        def unreadable(error: OSError) -> None:
            path = Path(error.filename)
            place = self._place(path.resolve(), start)
            self._report(Unread(str(path), error.strerror or str(error), "failed", place))

        # Links to folders are not followed: they may lead round.
        for folder, folders, names in os.walk(start, onerror=unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in UNSEEN)
            for name in sorted(names):
                path = Path(folder, name)
                try:
                    if not name.startswith(".") and path.is_file():
                        yield path
                except OSError as error:  # a folder that may be listed and not entered
                    unreadable(error)

    def _place(self, path: Path, start: Path) -> Place:
        for base in (self._root, start.resolve().parent):
            if path.is_relative_to(base):
                return Place(self._source or base.as_posix(), path.relative_to(base).as_posix())
        # A link that leads somewhere else.
        return Place(self._source or path.parent.as_posix(), path.name)


def is_pattern(given: str) -> bool:
    """Say whether a PATH is a glob, and not a file that is called like one."""
    return bool(WILD & set(given)) and not Path(given).exists()


def _matches(given: str) -> list[Path]:
    path = Path(given)
    if path.exists():
        return [path]
    # The shell expands globs itself, unless they are quoted or it lacks **.
    found = sorted(glob.glob(given, recursive=True)) if WILD & set(given) else []  # noqa: PTH207 - takes ** in absolute patterns too
    if not found:
        raise NothingThereError(f"{given}: no such file or folder")
    return [Path(each) for each in found]

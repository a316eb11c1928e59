"""Damage to snapshots, as disks and people do it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]


def snapshots_in(data: Path) -> list[Path]:
    """Finished snapshots below a data folder."""
    return sorted(data.glob("indexes/*/snapshot-*"))


def leftovers_in(data: Path) -> list[Path]:
    """Snapshots that are not finished."""
    return sorted(data.glob("indexes/*/making-*"))


def truncate(name: str, keep: float) -> Damage:
    """Cut a file to a part of its length."""

    def damage(snapshot: Path) -> None:
        content = (snapshot / name).read_bytes()
        (snapshot / name).write_bytes(content[: int(len(content) * keep)])

    return damage


def flip(name: str, place: float) -> Damage:
    """Flip one bit, at a part of the file's length."""

    def damage(snapshot: Path) -> None:
        content = bytearray((snapshot / name).read_bytes())
        content[int(len(content) * place)] ^= 1
        (snapshot / name).write_bytes(content)

    return damage


def remove(name: str) -> Damage:
    """Remove a file."""

    def damage(snapshot: Path) -> None:
        (snapshot / name).unlink()

    return damage


def manifest_says(**changes: object) -> Damage:
    """Change what the manifest says."""

    def damage(snapshot: Path) -> None:
        file = snapshot / "manifest.json"
        written = json.loads(file.read_text())
        written["manifest"].update(changes)
        file.write_text(json.dumps(written))

    return damage


def replace_by(text: str) -> Damage:
    """Write something else into the manifest."""

    def damage(snapshot: Path) -> None:
        (snapshot / "manifest.json").write_text(text)

    return damage


def empty(snapshot: Path) -> None:
    """Leave only the folder."""
    shutil.rmtree(snapshot)
    snapshot.mkdir()

"""A small disk for one test: a tmpfs in a mount namespace that a process holds open."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

AS_ROOT = ("unshare", "--mount")
AS_ANYBODY = ("unshare", "--user", "--map-root-user", "--mount")
"""Where the kernel lets users make namespaces."""


@dataclass(frozen=True)
class SmallDisk:
    """Where it is mounted, and the command that runs another one where it can be seen."""

    path: Path
    inside: tuple[str, ...]
    holder: int

    def run(self, *command: str) -> str:
        """Run a command where the disk can be seen, and give what it prints."""
        return subprocess.run([*self.inside, *command], check=True, capture_output=True, text=True).stdout

    def free_bytes(self) -> int:
        """What is free on it."""
        stat = os.statvfs(f"/proc/{self.holder}/root{self.path}")
        return stat.f_bavail * stat.f_frsize

    def fill(self, leave: int) -> None:
        """Take all but some bytes."""
        script = 'cat /dev/zero > "$1" 2> /dev/null; truncate -s "-$2" "$1"'
        self.run("sh", "-c", script, "sh", str(self.path / "ballast"), str(leave))

    def empty(self) -> None:
        """Give back what `fill` took."""
        self.run("rm", "-f", str(self.path / "ballast"))


@contextmanager
def small_disk(mount_point: Path, size: str) -> Iterator[SmallDisk | None]:
    """Mount a disk until left; None where this machine does not let us."""
    holder = _hold(mount_point, size)
    if holder is None:
        yield None
        return
    target = ("nsenter", "--target", str(holder.pid))
    inside = (
        (*target, "--mount")
        if os.geteuid() == 0
        else (*target, "--user", "--preserve-credentials", "--mount")
    )
    try:
        yield SmallDisk(mount_point, (*inside, f"--wd={mount_point.parent}"), holder.pid)
    finally:
        holder.kill()
        holder.communicate()


def _hold(mount_point: Path, size: str) -> subprocess.Popen[str] | None:
    if not all(map(shutil.which, ("unshare", "nsenter", "mount"))):
        return None
    mount_point.mkdir()
    script = 'mount -t tmpfs -o size="$1" none "$2" && echo mounted && exec sleep infinity'
    for prefix in (AS_ROOT, AS_ANYBODY):
        holder = subprocess.Popen(
            [*prefix, "sh", "-c", script, "sh", size, str(mount_point)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if holder.stdout is not None and holder.stdout.readline() == "mounted\n":
            return holder
        holder.communicate()
    return None

"""What the kernel says of a process: its own memory, threads, descriptors, mapped files, processor time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """One look at a process. `anonymous` is memory of its own; pages of files that it maps are in `mapped`.

    Bytes, and seconds of processor time since it began.
    """

    anonymous: int
    mapped: int
    threads: int
    descriptors: int
    processor_seconds: float


def look_at(pid: int) -> ProcessFacts:
    """Read /proc of a process that this user may look at."""
    folder = Path("/proc") / str(pid)
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    # The name in brackets may hold anything; utime and stime are fields 14 and 15.
    fields = (folder / "stat").read_text().rpartition(") ")[2].split()
    return ProcessFacts(
        anonymous=_bytes(status["RssAnon"]),
        mapped=_bytes(status["RssFile"]) + _bytes(status["RssShmem"]),
        threads=int(status["Threads"]),
        descriptors=len(list((folder / "fd").iterdir())),
        processor_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
    )


def _bytes(value: str) -> int:
    return int(value.split(maxsplit=1)[0]) * 1024

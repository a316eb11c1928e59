"""Facts about the machine, for beside the figures."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

OWN_PACKAGES = ("rag-grpc", "grpcio", "hnswlib", "numpy", "protobuf", "uvloop", "tantivy", "apsw")


def machine() -> dict[str, str | int]:
    """Return processor, cores, memory and versions of the system."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Return the versions of what this project's server is made of."""
    return {name: metadata.version(name) for name in OWN_PACKAGES}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

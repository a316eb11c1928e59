"""The store's threads, under their names where the kernel shows them too.

Python 3.11 tells the kernel nothing, so that `top -H`, perf and /proc show a dozen threads called
"python", and nobody sees which of them is busy. Linux takes a name of fifteen bytes from
the thread itself.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Final

_SET_NAME: Final = 15
"""PR_SET_NAME of prctl(2)."""


class StoreThread(threading.Thread):
    """A daemon thread, since what it does is ended in order by who began it, with a name for the kernel."""

    def __init__(self, *, target: object, name: str, args: tuple[object, ...] = ()) -> None:
        super().__init__(target=target, name=name, args=args, daemon=True)  # type: ignore[arg-type] # any callable

    def run(self) -> None:
        """Say the name, and run. A system without prctl has none, which changes nothing else."""
        prctl = getattr(ctypes.CDLL(None), "prctl", None)
        if prctl is not None:
            prctl(_SET_NAME, self.name.encode()[:15])
        super().run()

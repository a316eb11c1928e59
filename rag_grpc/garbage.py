"""How often Python looks for garbage that refers to itself.

Reference counts free nearly all that a call leaves. The cyclic collector looks for the rest, and
by default whenever 700 more containers were made than freed: with 32 queries under way that is
every few calls, for nothing, in whichever thread made the last one, with the GIL. It took a tenth of
the processor time of a query, and a seventh of that of a query in a batch (per thread, from the
kernel's count, 100,000 vectors).

So it looks less often; and what a start made, modules and classes and whatever lives as long as
the process, is put where it is not looked at again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 10_000
"""Containers made and not freed before the youngest are looked at. A large batch of queries still sets it
off; what cycles hold until then are errors with their tracebacks, a few kilobytes each."""
YOUNG_ROUNDS = 20
MIDDLE_ROUNDS = 20
"""Rounds of the younger generation before the older one is looked at."""


@contextmanager
def no_collection() -> Iterator[None]:
    """Collect nothing meanwhile. Imports make what stays, and collecting takes a tenth of their time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def collect_less_often() -> None:
    """Raise the thresholds. Of the whole process: called by who owns it."""
    gc.set_threshold(YOUNG, YOUNG_ROUNDS, MIDDLE_ROUNDS)


def set_aside_what_stays() -> None:
    """Collect once, and leave what is still there out of all later collections."""
    gc.collect()
    gc.freeze()

"""How long a thread may keep the GIL while another waits for it.

Python's own 5 ms suit a program whose threads compute side by side. Here a call goes from the
event loop to a thread and back, and each of them takes the GIL again and again, after the graph,
numpy or SQLite let go of it: while documents come, each time could cost a query 5 ms. By itself
1 ms made that worse; since the writer thread stands still for searches (`right_of_way`), p99
beside ingest was lower with it in most rounds, and `Query` and `BatchQuery` alone were no slower.
"""

from __future__ import annotations

import sys

SECONDS = 0.001


def switch_sooner() -> None:
    """Set the interval. Of the whole process: called by who owns it."""
    sys.setswitchinterval(SECONDS)

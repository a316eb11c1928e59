"""How often the longest tests repeat what they do: all their rounds, or a share of them.

They look for what happens once in hundreds of tries, and take minutes to be as good as sure.
CI plays every round of every change. `make test`, which somebody waits for, plays a
fifth (RAG_ROUNDS), and what takes long end to end, browsers too, on the default store
alone: enough to see what a change broke, hardly what is rare.
"""

from __future__ import annotations

import os

SHARE = float(os.environ.get("RAG_ROUNDS", "1"))


def rounds(whole: int) -> int:
    """Give the share of so many rounds that is to be played, at least one."""
    return max(1, round(whole * SHARE))

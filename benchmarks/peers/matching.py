"""Choosing the search effort at which a peer's recall is as good as another's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

TOLERANCE = 0.005
ROUNDING = 1e-9
LEAST, MOST = 10, 800
FINENESS = 12
"""Efforts that differ by less than a twelfth are the same: each look costs a thousand queries."""


@dataclass(frozen=True, slots=True)
class Match:
    """The effort, its recall, and whether that is within the tolerance of what was wanted."""

    effort: int
    recall: float
    within: bool


def match(
    target: float, recall_at: Callable[[int], float], known: Mapping[int, float] | None = None
) -> Match:
    """Find the least effort whose recall is at least `target` less the tolerance.

    The least one favours the peer: it is its fastest that still counts as equal. Where
    even LEAST is better than wanted by more than the tolerance, or MOST is not good
    enough, that one is returned, and not `within`. `known` are recalls that were
    measured before.
    """
    measured = dict(known or {})

    def recall(effort: int) -> float:
        if effort not in measured:
            measured[effort] = recall_at(effort)
        return measured[effort]

    enough = target - TOLERANCE - ROUNDING
    below, above = _bracket(measured, enough)
    while above - below > max(1, below // FINENESS):
        middle = (below + above) // 2
        if recall(middle) >= enough:
            above = middle
        else:
            below = middle
    if recall(above) < enough:
        above = MOST
    return Match(above, recall(above), abs(recall(above) - target) <= TOLERANCE + ROUNDING)


def _bracket(measured: Mapping[int, float], enough: float) -> tuple[int, int]:
    """Return an effort that is too little, and one that may be enough; recall grows with effort."""
    above = min((effort for effort, value in measured.items() if value >= enough), default=MOST)
    below = max((effort for effort in measured if effort < above), default=LEAST - 1)
    return below, above

"""The effort that is chosen is the least that counts as equal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.peers.matching import FINENESS, LEAST, MOST, TOLERANCE, match


def curve(middle: float) -> Callable[[int], float]:
    """Recall that grows with effort, and is a half at `middle`."""
    return lambda effort: effort / (effort + middle)


@pytest.mark.parametrize("target", [0.8, 0.9, 0.95, 0.97])
def test_the_least_effort_that_is_enough_is_found(target: float) -> None:
    recall = curve(10)
    found = match(target, recall)
    assert found.recall == recall(found.effort) >= target - TOLERANCE
    less = found.effort - max(2, found.effort // FINENESS + 1)
    assert recall(less) < target - TOLERANCE


def test_what_is_near_enough_is_within() -> None:
    found = match(0.95, lambda effort: 0.948 if effort >= 60 else 0.9)
    assert (found.recall, found.within) == (0.948, True)
    assert 60 <= found.effort <= 60 + 60 // FINENESS


def test_what_differs_by_the_tolerance_is_within() -> None:
    assert match(1.0, lambda effort: 0.995 if effort >= 14 else 0.9).within


def test_a_peer_that_is_always_better_gets_its_least_effort() -> None:
    found = match(0.9, lambda _: 1.0)
    assert (found.effort, found.within) == (LEAST, False)


def test_a_peer_that_is_never_good_enough_gets_the_most() -> None:
    found = match(0.99, lambda _: 0.5)
    assert (found.effort, found.recall, found.within) == (MOST, 0.5, False)


def test_what_is_known_is_not_measured_again() -> None:
    asked: list[int] = []

    def recall(effort: int) -> float:
        asked.append(effort)
        return curve(10)(effort)

    known = {effort: curve(10)(effort) for effort in (20, 50, 100, 200, 400)}
    found = match(0.9, recall, known)
    assert 50 < found.effort < 100
    assert all(50 < effort < 100 for effort in asked)


def test_a_match_among_the_known_needs_no_look_where_they_are_close() -> None:
    known = {99: 0.90, 100: 0.95}

    def recall(effort: int) -> float:
        raise AssertionError(effort)

    assert match(0.95, recall, known).effort == 100

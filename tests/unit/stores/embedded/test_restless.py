"""Who is looked at: those that were noted, and now and then all."""

from __future__ import annotations

from typing import Any

from rag_grpc.stores.embedded.restless import SWEEP_SECONDS_EACH, Restless


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def restless(count: int) -> tuple[Restless, Clock, dict[int, Any]]:
    clock = Clock()
    states: dict[int, Any] = {number: f"state {number}" for number in range(count)}
    return Restless(states, clock=clock), clock, states


def test_all_are_looked_at_first_and_then_those_that_were_noted() -> None:
    some, _, states = restless(3)
    assert some.take() == list(states.values())
    assert some.take() == []
    some.note([2, 1, 2])
    assert some.take() == [states[2], states[1]]
    assert some.take() == []


def test_all_are_looked_at_again_the_less_often_the_more_they_are() -> None:
    some, clock, states = restless(10)
    some.take()
    clock.now = 10 * SWEEP_SECONDS_EACH * 0.9
    assert some.take() == []
    clock.now = 10 * SWEEP_SECONDS_EACH * 1.1
    assert some.take() == list(states.values())
    some.sweep()
    assert some.take() == list(states.values())


def test_what_is_gone_is_passed_over() -> None:
    some, _, states = restless(2)
    some.take()
    some.note([0, 1])
    del states[0]
    assert some.take() == [states[1]]

"""Lanes under random schedules: order holds, nothing waits for ever, nothing is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_grpc.core.lanes import Lanes


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class TestTickets:
    async def test_the_first_ticket_of_a_lane_is_ready_at_once(self) -> None:
        lanes = Lanes()
        ticket = lanes.ticket(1, "a")
        assert ticket.ready
        assert ticket.quiet
        ticket.release()
        assert lanes.idle

    async def test_a_ticket_waits_until_the_one_before_it_joins(self) -> None:
        lanes = Lanes()
        first, second = lanes.ticket(1, "a"), lanes.ticket(1, "a")
        waiting = asyncio.ensure_future(second.turn())
        await settle()
        assert not waiting.done()
        first.join()
        await waiting
        assert not second.quiet, "the first has joined, but was not answered"
        first.release()
        assert second.quiet
        second.release()
        assert lanes.idle

    async def test_lanes_do_not_wait_for_each_other(self) -> None:
        lanes = Lanes()
        tickets = [lanes.ticket(1, "a"), lanes.ticket(1, "b"), lanes.ticket(2, "a")]
        assert all(each.ready for each in tickets)
        for each in tickets:
            each.release()

    async def test_a_ticket_that_fails_in_the_middle_does_not_let_the_next_one_overtake(self) -> None:
        lanes = Lanes()
        first, second, third = (lanes.ticket(1, "a") for _ in range(3))
        second.release()
        assert not third.ready
        first.join()
        assert third.ready
        first.release()
        third.release()
        assert lanes.idle

    async def test_a_ticket_that_is_cancelled_while_it_waits_is_passed_over(self) -> None:
        lanes = Lanes()
        first, second, third = (lanes.ticket(1, "a") for _ in range(3))
        waiting = asyncio.ensure_future(second.turn())
        await settle()
        waiting.cancel()
        await settle()
        second.release()
        first.release()
        await third.turn()
        third.release()
        assert lanes.idle

    async def test_releasing_twice_counts_once(self) -> None:
        lanes = Lanes()
        first, second = lanes.ticket(1, "a"), lanes.ticket(1, "b")
        barrier = lanes.barrier(1)
        first.release()
        first.release()
        assert not barrier.ready
        second.release()
        assert barrier.ready
        barrier.release()
        barrier.release()
        assert lanes.idle


class TestBarriers:
    async def test_a_barrier_waits_until_earlier_tickets_are_answered(self) -> None:
        lanes = Lanes()
        ticket = lanes.ticket(1, "a")
        barrier = lanes.barrier(1)
        ticket.join()
        assert not barrier.ready
        ticket.release()
        await barrier.turn()
        barrier.release()
        assert lanes.idle

    async def test_later_tickets_wait_for_the_barrier(self) -> None:
        lanes = Lanes()
        barrier = lanes.barrier(1)
        later, elsewhere = lanes.ticket(1, "a"), lanes.ticket(2, "a")
        assert elsewhere.ready
        waiting = asyncio.ensure_future(later.turn())
        await settle()
        assert not waiting.done()
        barrier.release()
        await waiting
        later.release()
        elsewhere.release()
        assert lanes.idle

    async def test_a_barrier_that_gives_up_lets_later_tickets_go_though_earlier_ones_are_open(self) -> None:
        lanes = Lanes()
        earlier, barrier, later = lanes.ticket(1, "a"), lanes.barrier(1), lanes.ticket(1, "b")
        assert not later.ready
        barrier.release()
        assert later.ready
        earlier.release()
        later.release()
        assert lanes.idle

    async def test_entering_and_being_cancelled_releases(self) -> None:
        lanes = Lanes()
        ticket = lanes.ticket(1, "a")

        async def enter() -> None:
            async with lanes.barrier(1):
                pass

        task = asyncio.create_task(enter())
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ticket.release()
        assert lanes.idle

    async def test_barriers_go_in_their_order(self) -> None:
        lanes = Lanes()
        first, second = lanes.barrier(1), lanes.barrier(1)
        assert first.ready
        assert not second.ready
        first.release()
        assert second.ready
        second.release()
        assert lanes.idle


@dataclass(frozen=True)
class Plan:
    """One actor: what it takes, how many turns of the loop its steps last, when it is cancelled."""

    lane: str
    before_turn: int
    before_join: int
    before_answer: int
    cancel_at: int | None


plans = st.lists(
    st.builds(
        Plan,
        lane=st.sampled_from(["a", "b", "c", "barrier"]),
        before_turn=st.integers(0, 4),
        before_join=st.integers(0, 3),
        before_answer=st.integers(0, 4),
        cancel_at=st.none() | st.integers(0, 12),
    ),
    max_size=14,
)


@dataclass
class Trace:
    """What happened, as seen by the actors; `open` holds the actors that were not answered yet."""

    lanes: Lanes = field(default_factory=Lanes)
    joined: list[int] = field(default_factory=list)
    open: set[int] = field(default_factory=set)
    held: set[int] = field(default_factory=set)


async def yields(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def write(trace: Trace, index: int, plan: Plan, plans: Sequence[Plan]) -> asyncio.Task[None]:
    ticket = trace.lanes.ticket(1, plan.lane)
    trace.open.add(index)

    async def work() -> None:
        await yields(plan.before_turn)
        await ticket.turn()
        await yields(plan.before_join)
        assert not any(each < index for each in trace.held), "went past a held barrier"
        assert not any(each > index and plans[each].lane == plan.lane for each in trace.joined), "overtaken"
        if ticket.quiet:
            assert not any(each < index and plans[each].lane == plan.lane for each in trace.open)
        ticket.join()
        trace.joined.append(index)
        await yields(plan.before_answer)

    def done(_: asyncio.Task[None]) -> None:
        trace.open.discard(index)
        ticket.release()

    task = asyncio.create_task(work())
    task.add_done_callback(done)
    return task


def bar(trace: Trace, index: int, plan: Plan) -> asyncio.Task[None]:
    barrier = trace.lanes.barrier(1)
    trace.held.add(index)

    async def work() -> None:
        await yields(plan.before_turn)
        await barrier.turn()
        assert not any(each < index for each in trace.open), "an earlier write is not answered"
        await yields(plan.before_answer)

    def done(_: asyncio.Task[None]) -> None:
        trace.held.discard(index)
        barrier.release()

    task = asyncio.create_task(work())
    task.add_done_callback(done)
    return task


async def play(schedule: Sequence[Plan]) -> None:
    trace = Trace()
    tasks: list[asyncio.Task[None]] = []
    for index, plan in enumerate(schedule):
        tasks.append(
            bar(trace, index, plan) if plan.lane == "barrier" else write(trace, index, plan, schedule)
        )
        await yields(index % 2)
    canceller = asyncio.create_task(cancel_on_time(schedule, tasks))
    await asyncio.wait_for(asyncio.gather(*tasks, canceller, return_exceptions=True), timeout=10)
    await settle()
    for task in tasks:
        if not task.cancelled():
            task.result()
    assert trace.lanes.idle


async def cancel_on_time(schedule: Sequence[Plan], tasks: Sequence[asyncio.Task[None]]) -> None:
    for step in range(13):
        for plan, task in zip(schedule, tasks, strict=True):
            if plan.cancel_at == step:
                task.cancel()
        await asyncio.sleep(0)


@given(plans)
@settings(max_examples=300, deadline=None)
def test_any_schedule_keeps_the_order_and_comes_to_an_end(schedule: list[Plan]) -> None:
    asyncio.run(play(schedule))

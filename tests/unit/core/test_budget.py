"""The byte budget: first come, first served, and nothing is lost when callers give up."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_grpc.core.budget import ByteBudget
from rag_grpc.core.errors import NotReady


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_fits_is_taken_at_once() -> None:
    budget = ByteBudget(100)
    await budget.acquire(60)
    await budget.acquire(40)
    assert (budget.in_use, budget.waiting) == (100, 0)
    budget.release(60)
    assert budget.in_use == 40


async def test_small_items_do_not_overtake_a_large_one() -> None:
    budget = ByteBudget(100)
    await budget.acquire(60)
    large = asyncio.create_task(budget.acquire(80))
    await settle()
    small = asyncio.create_task(budget.acquire(10))
    await settle()
    assert (budget.in_use, budget.waiting) == (60, 2)
    budget.release(60)
    await asyncio.gather(large, small)
    assert budget.in_use == 90


async def test_an_item_larger_than_the_whole_takes_all_of_it() -> None:
    budget = ByteBudget(100)
    async with budget.hold(1000):
        assert budget.in_use == 100
    assert budget.in_use == 0


async def test_waiting_too_long_is_not_ready() -> None:
    budget = ByteBudget(100)
    async with budget.hold(100):
        with pytest.raises(NotReady) as caught:
            async with budget.hold(1, timeout=0.01):
                pytest.fail("there was no room")
        assert caught.value.retry_after
        assert budget.waiting == 0
    async with budget.hold(100, timeout=0.01):
        assert budget.in_use == 100


async def test_an_error_in_the_block_gives_back() -> None:
    budget = ByteBudget(100)
    with pytest.raises(KeyError):
        async with budget.hold(70):
            raise KeyError
    assert budget.in_use == 0


async def test_the_next_one_is_served_when_the_first_in_line_gives_up() -> None:
    budget = ByteBudget(100)
    await budget.acquire(50)
    large = asyncio.create_task(budget.acquire(100))
    small = asyncio.create_task(budget.acquire(50))
    await settle()
    large.cancel()
    await asyncio.wait_for(small, timeout=5)
    assert (budget.in_use, budget.waiting) == (100, 0)


async def test_a_grant_that_comes_with_a_cancellation_is_given_back() -> None:
    budget = ByteBudget(100)
    await budget.acquire(100)
    waiting = asyncio.create_task(budget.acquire(100))
    await settle()
    budget.release(100)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert budget.in_use == 0


async def test_a_cancellation_that_comes_before_the_grant_takes_nothing() -> None:
    budget = ByteBudget(100)
    await budget.acquire(100)
    waiting = asyncio.create_task(budget.acquire(100))
    await settle()
    waiting.cancel()
    budget.release(100)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (budget.in_use, budget.waiting) == (0, 0)


async def play(plans: list[tuple[int, int, int | None]]) -> None:
    budget = ByteBudget(10)
    held = 0

    async def work(size: int, turns: int) -> None:
        nonlocal held
        async with budget.hold(size):
            held += min(size, 10)
            try:
                assert held <= 10
                for _ in range(turns):
                    await asyncio.sleep(0)
            finally:
                held -= min(size, 10)

    tasks = [asyncio.create_task(work(size, turns)) for size, turns, _ in plans]
    for step in range(8):
        for task, (_, _, cancel_at) in zip(tasks, plans, strict=True):
            if cancel_at == step:
                task.cancel()
        await asyncio.sleep(0)
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), timeout=10)
    assert all(each is None or isinstance(each, asyncio.CancelledError) for each in results)
    assert (budget.in_use, budget.waiting) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 3), st.none() | st.integers(0, 7)), max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_schedule_comes_to_an_end_and_gives_everything_back(
    plans: list[tuple[int, int, int | None]],
) -> None:
    asyncio.run(play(plans))

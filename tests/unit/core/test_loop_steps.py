from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from rag_grpc.core.loop_steps import LONGEST_HOLD, STEP_ITEMS, STEP_SIZE, LoopSteps, parted
from rag_grpc.core.precedence import LARGE_BATCH, Precedence


async def test_one_step_is_taken_a_round_in_the_order_of_asking() -> None:
    steps = LoopSteps(Precedence())
    rounds = 0
    taken: list[tuple[str, int]] = []

    async def work(name: str) -> None:
        for _ in range(3):
            await steps.next()
            taken.append((name, rounds))

    async def count() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    counting = asyncio.ensure_future(count())
    await asyncio.gather(work("a"), work("b"), work("c"))
    counting.cancel()
    with suppress(asyncio.CancelledError):
        await counting
    assert [name for name, _ in taken] == ["a", "b", "c"] * 3
    at = [when for _, when in taken]
    assert len(set(at)) == len(at)


async def test_who_gives_up_does_not_use_a_turn() -> None:
    steps = LoopSteps(Precedence())
    gone = asyncio.ensure_future(steps.next())
    await asyncio.sleep(0)
    stays = asyncio.ensure_future(steps.next())
    gone.cancel()
    await asyncio.wait_for(stays, 5)
    assert gone.cancelled()
    await asyncio.wait_for(steps.next(), 5)


async def test_steps_wait_for_users_queries_but_not_for_ever() -> None:
    precedence = Precedence()
    steps = LoopSteps(precedence)
    loop = asyncio.get_running_loop()
    await steps.next()
    precedence.enter(1)
    begin = loop.time()
    await asyncio.wait_for(steps.next(), 5)
    assert loop.time() - begin >= LONGEST_HOLD / 2
    waiting = asyncio.ensure_future(steps.next())
    precedence.leave(1)
    await asyncio.wait_for(waiting, 5)


async def test_small_steps_are_held_up_together() -> None:
    precedence = Precedence()
    steps = LoopSteps(precedence)
    precedence.enter(1)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for _ in range(100):
        await asyncio.wait_for(steps.next(1 / 64), 5)
    # One hold and not a hundred.
    assert loop.time() - begin < 50 * LONGEST_HOLD
    precedence.leave(1)


async def test_rounds_that_take_long_let_more_steps_be_taken() -> None:
    precedence = Precedence()
    steps = LoopSteps(precedence)
    precedence.enter(1)
    await steps.next()
    waiting = asyncio.ensure_future(steps.next())
    await asyncio.sleep(0)
    time.sleep(10 * LONGEST_HOLD)  # noqa: ASYNC251 - somebody keeps the loop
    begin = asyncio.get_running_loop().time()
    await waiting
    for _ in range(5):
        await asyncio.wait_for(steps.next(), 5)
    assert asyncio.get_running_loop().time() - begin < 4 * LONGEST_HOLD
    precedence.leave(1)


async def test_steps_without_queries_leave_nothing_owed() -> None:
    precedence = Precedence()
    steps = LoopSteps(precedence)
    for _ in range(20):
        waiting = asyncio.ensure_future(steps.next())
        await asyncio.sleep(0)
        time.sleep(2 * LONGEST_HOLD)  # noqa: ASYNC251 - somebody keeps the loop
        await waiting
    precedence.enter(1)
    begin = asyncio.get_running_loop().time()
    for _ in range(6):
        await asyncio.wait_for(steps.next(), 5)
    assert asyncio.get_running_loop().time() - begin >= 4 * LONGEST_HOLD
    precedence.leave(1)


async def test_a_pause_is_hold_enough() -> None:
    precedence = Precedence()
    steps = LoopSteps(precedence)
    precedence.enter(1)
    await steps.next()
    await asyncio.sleep(2 * LONGEST_HOLD)
    waiting = asyncio.ensure_future(steps.next())
    for _ in range(3):
        await asyncio.sleep(0)
    assert waiting.done()
    precedence.leave(1)


async def test_large_batches_keep_no_step_waiting() -> None:
    precedence = Precedence()
    steps = LoopSteps(precedence)
    precedence.enter(LARGE_BATCH)
    begin = asyncio.get_running_loop().time()
    for _ in range(50):
        await asyncio.wait_for(steps.next(), 5)
    assert asyncio.get_running_loop().time() - begin < 25 * LONGEST_HOLD
    precedence.leave(LARGE_BATCH)


@pytest.mark.parametrize(
    ("count", "size", "first"),
    [
        (0, 0, None),
        (1, 10 * STEP_SIZE, 1),
        (100, 0, STEP_ITEMS),
        (100, 100, STEP_ITEMS),
        (100, 100 * STEP_SIZE, 1),
        (100, 20 * STEP_SIZE, 5),
    ],
)
def test_parts_are_small_in_number_and_in_bytes(count: int, size: int, first: int | None) -> None:
    items = list(range(count))
    parts = list(parted(items, size))
    assert [each for part, _ in parts for each in part] == items
    assert [len(part) for part, _ in parts][:1] == ([] if first is None else [first])
    assert [share for _, share in parts[:-1]] == [1.0] * (len(parts) - 1)
    assert all(0 < share <= 1 for _, share in parts)

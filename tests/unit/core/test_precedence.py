"""Turns: some at once between users' queries, one at a time beside them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from rag_grpc.core.precedence import Precedence

NEVER = 1e6


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Worker:
    """Takes one turn, and gives it back when told."""

    def __init__(self, precedence: Precedence) -> None:
        self.began = asyncio.Event()
        self.end = asyncio.Event()
        self.task = asyncio.ensure_future(self._run(precedence))

    async def _run(self, precedence: Precedence) -> None:
        async with precedence.turn():
            self.began.set()
            await self.end.wait()


async def test_so_many_turns_are_given_at_once_and_the_rest_in_order() -> None:
    precedence = Precedence(at_once=2, longest_wait=NEVER)
    workers = [Worker(precedence) for _ in range(4)]
    await settled()
    assert [each.began.is_set() for each in workers] == [True, True, False, False]
    workers[1].end.set()
    await workers[2].began.wait()
    assert not workers[3].began.is_set()
    for each in workers:
        each.end.set()
    await asyncio.gather(*(each.task for each in workers))


async def test_no_turn_begins_while_a_user_waits_and_all_do_when_none_does() -> None:
    precedence = Precedence(at_once=2, longest_wait=NEVER, lately=0)
    precedence.enter(3)
    workers = [Worker(precedence) for _ in range(2)]
    await settled()
    precedence.leave(2)
    await settled()
    assert not any(each.began.is_set() for each in workers)
    precedence.leave(1)
    await asyncio.gather(*(each.began.wait() for each in workers))
    for each in workers:
        each.end.set()
    await asyncio.gather(*(each.task for each in workers))


async def test_one_turn_at_a_time_is_given_while_users_may_come_back() -> None:
    precedence = Precedence(at_once=2, longest_wait=0.001, lately=0.2)
    precedence.enter(1)
    workers = [Worker(precedence) for _ in range(2)]
    await settled()
    precedence.leave(1)
    left = time.monotonic()
    await workers[0].began.wait()
    assert not workers[1].began.is_set()
    # Then they have not come back, and the other one begins beside the first.
    await asyncio.wait_for(workers[1].began.wait(), 10)
    assert time.monotonic() - left >= 0.19
    for each in workers:
        each.end.set()
    await asyncio.gather(*(each.task for each in workers))


async def test_users_who_never_stop_do_not_stop_the_work() -> None:
    precedence = Precedence(at_once=4, longest_wait=0.001)
    precedence.enter(1)
    workers = [Worker(precedence) for _ in range(3)]
    for place, each in enumerate(workers):
        await asyncio.wait_for(each.began.wait(), 10)
        assert [other.began.is_set() for other in workers].count(True) == place + 1
        each.end.set()
        await each.task
    assert precedence.hurried == 1


@pytest.mark.parametrize("given", [False, True])
async def test_a_turn_of_one_who_left_goes_to_the_next(given: bool) -> None:
    precedence = Precedence(at_once=1, longest_wait=NEVER)
    precedence.enter(1)
    leaver, last = (Worker(precedence) for _ in range(2))
    await settled()
    if given:  # cancelled in the moment in which it gets its turn, and before it could take it
        precedence.leave(1)
        leaver.task.cancel()
    else:
        leaver.task.cancel()
        await settled()
        precedence.leave(1)
    await asyncio.wait_for(last.began.wait(), 10)
    last.end.set()
    await last.task
    assert leaver.task.cancelled()
    assert not leaver.began.is_set()


async def test_a_turn_that_fails_is_given_back() -> None:
    precedence = Precedence(at_once=1, longest_wait=NEVER)
    for _ in range(2):
        with pytest.raises(ValueError, match="wrong"):
            async with precedence.turn():
                raise ValueError("wrong")
    async with AsyncExitStack() as stack:
        await asyncio.wait_for(stack.enter_async_context(precedence.turn()), 10)

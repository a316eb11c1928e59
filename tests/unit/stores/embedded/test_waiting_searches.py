"""What a thread takes at once of what waits."""

from __future__ import annotations

import asyncio

import numpy as np

from rag_grpc.core.errors import StorageFault
from rag_grpc.core.precedence import LARGE_BATCH
from rag_grpc.core.searches import AlikeSearches
from rag_grpc.stores.embedded.waiting_searches import (
    BATCH_SEARCHES,
    Desk,
    Job,
    items_of,
    searches_of,
    settle,
    share_of,
)
from tests.contracts.fakes import for_nearest
from tests.contracts.store_state import NOWHERE


def alike(count: int) -> AlikeSearches:
    return AlikeSearches(for_nearest(NOWHERE, [1, 0, 0, 0]), np.ones((count, 4), np.float32))


def job(count: int) -> Job:
    return Job(asyncio.get_running_loop().create_future(), [None] * count, count)


async def test_alike_searches_wait_together_and_are_taken_together() -> None:
    large, small = job(BATCH_SEARCHES + 10), job(LARGE_BATCH - 1)
    desk = Desk(2, least=BATCH_SEARCHES)
    desk.searches.extend(items_of(small, alike(LARGE_BATCH - 1)))
    desk.searches.extend(items_of(large, alike(BATCH_SEARCHES + 10)))
    shares = [share_of(desk) for _ in range(3)]
    assert [len(searches_of(share)) for share in shares] == [LARGE_BATCH - 1, BATCH_SEARCHES, 10]
    assert share_of(desk) == []
    results = [StorageFault(str(number)) for number in range(LARGE_BATCH - 1 + BATCH_SEARCHES + 10)]
    begin = 0
    for share in shares:
        end = begin + len(searches_of(share))
        settle(share, results[begin:end])
        begin = end
    assert [*await small.future, *await large.future] == results


async def test_what_nobody_waits_for_is_dropped() -> None:
    gone, kept = job(LARGE_BATCH), job(LARGE_BATCH)
    desk = Desk(2, least=BATCH_SEARCHES)
    desk.searches.extend(items_of(gone, alike(LARGE_BATCH)))
    desk.searches.extend(items_of(kept, alike(LARGE_BATCH)))
    gone.future.cancel()
    (item,) = share_of(desk)
    assert item.job is kept
    assert item.group is not None
    results = [StorageFault(str(number)) for number in range(LARGE_BATCH)]
    settle([item], results)
    assert await kept.future == results

"""Judging: how far passages support sentences, by the server's judges.

A judge may be a model that takes milliseconds for a sentence, or one far away that takes
seconds, so each has one thread and one queue. The queue is of batches, not of callers:
whoever has thousands of sentences to weigh lets others go between two batches. A call
that was cancelled, or whose deadline has passed, costs one batch at most.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from rag_grpc.core.answers import Statement, Support
from rag_grpc.core.errors import ModelUnavailable, NotConfigured, NotReady
from rag_grpc.core.model_ports import Judge
from rag_grpc.core.ports import Telemetry


class Judging:
    """Weighs statements with the server's judges, each in a thread of its own. The first is the default."""

    def __init__(self, judges: Mapping[str, Judge], telemetry: Telemetry) -> None:
        self._judges = judges
        self._telemetry = telemetry
        self._turns: dict[str, asyncio.Lock] = {}
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._closed = False

    def named(self, name: str) -> str:
        """Return the name of a judge that is there, the default's for "". Raises NotConfigured."""
        if name in self._judges:
            return name
        has = ", ".join(self._judges)
        if not has:
            raise NotConfigured("this server has no judge")
        if name:
            raise NotConfigured(f"this server has no judge {name!r}; it has: {has}")
        return next(iter(self._judges))

    def batch(self, name: str) -> int:
        """Return how many statements the judge of that name weighs at once: what a call costs at least."""
        return max(1, self._judges[name].max_batch)

    async def weigh(self, name: str, statements: Sequence[Statement]) -> list[Support]:
        """Weigh statements, in their order: values from 0 to 1, places that are in each one's contexts.

        Raises NotConfigured, ModelUnavailable, NotReady after `close`. Cancelling gives the turn away.
        """
        name = self.named(name)
        turn = self._turns.setdefault(name, asyncio.Lock())
        size = self.batch(name)
        supports: list[Support] = []
        for begin in range(0, len(statements), size):
            async with turn:
                supports += await self._batch(name, statements[begin : begin + size])
        return supports

    async def _batch(self, name: str, statements: Sequence[Statement]) -> list[Support]:
        if self._closed:
            raise NotReady("the server is stopping")
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = ThreadPoolExecutor(1, thread_name_prefix=f"judge-{name}")
        loop = asyncio.get_running_loop()
        began = loop.time()
        supports = await loop.run_in_executor(pool, _weighed, self._judges[name], statements)
        self._telemetry.batch("judge", len(statements))
        self._telemetry.stage("judge", loop.time() - began)
        return supports

    async def close(self) -> None:
        """Finish what is being weighed, refuse what waits, end the threads."""
        self._closed = True
        for pool in self._pools.values():
            await asyncio.to_thread(pool.shutdown)


def _weighed(judge: Judge, statements: Sequence[Statement]) -> list[Support]:
    """Call the judge, and trust nothing that comes back. Blocks."""
    try:
        supports = list(judge.weigh(statements))
        sound = len(supports) == len(statements) and all(map(_possible, supports, statements))
    except ModelUnavailable:
        raise
    except Exception as error:
        raise ModelUnavailable(f"judge {judge.name!r} failed with {type(error).__name__}") from error
    if not sound:
        raise ModelUnavailable(f"judge {judge.name!r} gave no support for some sentences")
    return supports


def _possible(support: Support, statement: Statement) -> bool:
    return (
        math.isfinite(support.value)
        and 0 <= support.value <= 1
        and 0 <= support.context < max(1, len(statement.contexts))
    )

"""Turns calls away at once where taking them would only make all of them slow."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rag_grpc.core.errors import NotReady, RateLimited
from rag_grpc.core.ports import Telemetry
from rag_grpc.rpc.interceptors.base import CallInterceptor, Proceed
from rag_grpc.rpc.interceptors.call import Call, Work

RETRY_AFTER = 0.5
"""Seconds. A full house empties within a few answers, so coming back soon is right."""


class Admission(CallInterceptor):
    """Counts reads, writes and streams apart, so that none of them can lock out the others.

    Here and not in gRPC's `maximum_concurrent_rpcs`, which counts health checks too, knows no
    reasons, and refuses past every interceptor, so that no metric and no log would show it.

    `bounds` holds how many calls of each kind may run. `not_ready` gives the reason while nothing can
    be served, and "" otherwise.
    """

    def __init__(
        self, bounds: Mapping[Work, int], *, not_ready: Callable[[], str], telemetry: Telemetry
    ) -> None:
        self._bounds = dict(bounds)
        self._running = dict.fromkeys(bounds, 0)
        self._not_ready = not_ready
        self._telemetry = telemetry

    async def around(self, call: Call, proceed: Proceed) -> bytes | None:
        """Let the call in, or refuse it before its request is decoded."""
        work = call.method.work
        if work is Work.EXEMPT:
            return await proceed(call)
        if reason := self._not_ready():
            self._telemetry.turned_away("not_ready")
            raise NotReady(reason)
        if self._running[work] >= self._bounds[work]:
            self._telemetry.turned_away(f"too_many_{work.value}s")
            raise _too_many(work, self._bounds[work])
        self._running[work] += 1
        try:
            return await proceed(call)
        finally:
            self._running[work] -= 1


def _too_many(work: Work, bound: int) -> RateLimited:
    return RateLimited(
        f"{bound} {work.value}s run already, no more are taken at once",
        metadata={"limit": f"max_{work.value}s", f"max_{work.value}s": str(bound)},
        retry_after=RETRY_AFTER,
    )

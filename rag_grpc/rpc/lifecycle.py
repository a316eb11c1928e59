"""How the gRPC server begins and ends.

An end in order: health says NOT_SERVING while calls are still taken, for a pause
in which load balancers notice; open streams are told to end, and new calls to go
elsewhere; nothing new is accepted; calls in flight finish within the grace and are
cancelled after it; and when all have cleaned up behind themselves, whatever they
work on may be closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import grpc
import structlog

from rag_grpc.rpc.drain import Drain
from rag_grpc.rpc.health import Health
from rag_grpc.rpc.interceptors.base import Chain

log = structlog.get_logger(__name__)

QUIET = 0.05
"""Seconds without a call, and without a new one, after which gRPC is stopped. What it has received by then
and not handed over ends as CANCELLED, which no caller sends again; so callers are first told NOT_READY, and
listened to. A call in flight is waited for too: when it is answered, its caller may send the next at once."""
MOST_QUIET = 1.0
"""Seconds after the last call of before the drain after which gRPC is stopped all the same: some callers
never listen."""
CLEAN_UP = 5.0
"""Seconds that cancelled calls may take to clean up behind themselves."""


@dataclass(slots=True)
class Ending:
    """How the server is to end, in seconds. Set `hastened` to end it at once, even while it ends already."""

    pause: float
    grace: float
    hastened: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def serving(
    server: grpc.aio.Server, address: str, *, chain: Chain, health: Health, drain: Drain, ending: Ending
) -> AsyncIterator[str]:
    """Bind, start and give the address with its real port; drain and stop when left.

    Raises OSError where the address cannot be bound.
    """
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: {error}") from error
    await server.start()
    try:
        yield f"{address.rpartition(':')[0]}:{port}"
    finally:
        await _end(server, chain, health, drain, ending)


async def _end(server: grpc.aio.Server, chain: Chain, health: Health, drain: Drain, ending: Ending) -> None:
    log.info("draining", pause=ending.pause, grace=ending.grace)
    health.begin_draining()
    with suppress(TimeoutError):
        await asyncio.wait_for(ending.hastened.wait(), ending.pause)
    drain.begin()
    # Open Watch streams would use up the whole grace: they never end by themselves.
    health.end_watches()
    loop = asyncio.get_running_loop()
    until = loop.time() + ending.grace
    hastened = asyncio.ensure_future(ending.hastened.wait())
    quiet = asyncio.ensure_future(_quiet(chain))
    await asyncio.wait({hastened, quiet}, timeout=ending.grace, return_when=asyncio.FIRST_COMPLETED)
    quiet.cancel()
    stopped = asyncio.ensure_future(server.stop(max(0.0, until - loop.time())))
    await asyncio.wait({hastened, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not stopped.done():
        await server.stop(None)
    hastened.cancel()
    await stopped
    try:
        # stop() returns while cancelled handlers still run their `finally`.
        await asyncio.wait_for(chain.idle(), CLEAN_UP)
    except TimeoutError:
        log.warning("calls_abandoned", seconds=CLEAN_UP)


async def _quiet(chain: Chain) -> None:
    """Wait for the calls in flight, and until callers have heard that they should go elsewhere."""
    await chain.idle()
    loop = asyncio.get_running_loop()
    until = loop.time() + MOST_QUIET
    arrived = -1
    while arrived != chain.arrived and loop.time() < until:
        # What arrives meanwhile is refused, so that the chain is soon idle again.
        await chain.idle()
        arrived = chain.arrived
        await asyncio.sleep(QUIET)

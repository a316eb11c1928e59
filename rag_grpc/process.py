"""The server as a process: signals in, exit code out.

The first SIGTERM or SIGINT ends it in order, a second one at once. Handlers of the
event loop, not of Python: an exception out of the middle of anything, which is
what Ctrl-C is by default, could end a write half-way.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress

import structlog

from rag_grpc import event_loop
from rag_grpc.allocator import tune_allocator
from rag_grpc.app import RunningServer, listening_server
from rag_grpc.core.errors import RagError
from rag_grpc.descriptors import raise_descriptor_limit
from rag_grpc.environment import SettingsFault
from rag_grpc.garbage import collect_less_often, set_aside_what_stays
from rag_grpc.logs import set_up_logs
from rag_grpc.rpc.lifecycle import Ending
from rag_grpc.settings import Settings
from rag_grpc.switch_interval import switch_sooner

log = structlog.get_logger(__name__)

OK = 0
FAILED = 1


def serve(settings: Settings, unknown: Sequence[str]) -> int:
    """Serve until told to stop; give the exit code. `unknown` are names that mean nothing."""
    tune_allocator(len(os.sched_getaffinity(0)))
    raise_descriptor_limit()
    collect_less_often()
    switch_sooner()
    set_up_logs(settings.log_format, settings.log_level)
    for name in unknown:
        log.warning("setting_unknown", name=name)
    try:
        return event_loop.run(_serve(settings), settings.event_loop)
    except (SettingsFault, RagError, OSError) as error:
        # What an operator can do something about: one line says it.
        log.error("start_failed", reason=str(error))  # noqa: TRY400 # a traceback would hide the line
    except Exception:
        log.exception("start_failed", reason="a fault of the server")
    return FAILED


async def _serve(settings: Settings) -> int:
    signals = _Signals()
    async with listening_server(settings) as server:
        signals.ending = server.ending
        if await _loaded(server, signals.told):
            set_aside_what_stays()
            await signals.told.wait()
    log.info("stopped")
    return OK


async def _loaded(server: RunningServer, told: asyncio.Event) -> bool:
    """Load, unless told to stop meanwhile."""
    loading = asyncio.ensure_future(server.load())
    stopping = asyncio.ensure_future(told.wait())
    await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if loading.done():
        loading.result()
        return True
    loading.cancel()
    with suppress(asyncio.CancelledError):
        await loading
    return False


class _Signals:
    """What the process was told. Set up as soon as it is made, on the running loop."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.ending: Ending | None = None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._receive, number)

    def _receive(self, number: signal.Signals) -> None:
        log.info("signal_received", signal=number.name, again=self.told.is_set())
        if self.ending is not None:
            if self.told.is_set():
                self.ending.hastened.set()
            elif number is signal.SIGINT:
                # A person at a terminal: there is no load balancer to wait for.
                self.ending.pause = 0.0
        self.told.set()

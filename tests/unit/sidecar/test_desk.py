"""The page's calls on the event loop: bounded, cancelled, and measured."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from rag_grpc.core.errors import CollectionNotFound, DeadlineExceeded, NotReady, RateLimited
from rag_grpc.sidecar.desk import CallerLeft, Desk, Emit
from rag_grpc.sidecar.loop_line import LoopLine
from tests.contracts.fakes import Records


class Reception:
    """A desk, and what a test has in its hand: readiness, what was measured, work that goes on for ever."""

    def __init__(self, **bounds: Any) -> None:
        self.reason = ""
        self.telemetry = Records()
        self.registry = CollectorRegistry()
        self.desk = Desk(
            LoopLine(),
            not_ready=lambda: self.reason,
            telemetry=self.telemetry,
            registry=self.registry,
            **bounds,
        )
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def endless(self, emit: Emit) -> None:
        emit("first")
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def ask(self, work: Any, gone: Callable[[], bool] = lambda: False) -> list[Any]:
        return await asyncio.to_thread(lambda: list(self.desk.pieces("search", work, gone=gone)))

    def counted(self, reason: str) -> float | None:
        labels = {"call": "search", "reason": reason}
        return self.registry.get_sample_value("rag_page_call_seconds_count", labels)


async def two(emit: Emit) -> None:
    emit(1)
    await asyncio.sleep(0)
    emit(2)


async def test_what_is_emitted_comes_in_order_and_is_counted() -> None:
    reception = Reception()
    with capture_logs() as logs:
        assert await reception.ask(two) == [1, 2]
    assert reception.counted("OK") == 1
    (line,) = logs
    assert (line["event"], line["call"], line["reason"]) == ("page_call", "search", "OK")


async def test_what_the_work_raises_reaches_the_caller_with_its_reason() -> None:
    async def missing(emit: Emit) -> None:
        raise CollectionNotFound("nope")

    async def broken(emit: Emit) -> None:
        raise ValueError("a fault")

    reception = Reception()
    with pytest.raises(CollectionNotFound):
        await reception.ask(missing)
    assert reception.counted("COLLECTION_NOT_FOUND") == 1
    with capture_logs() as logs, pytest.raises(ValueError, match="a fault"):
        await reception.ask(broken)
    assert reception.counted("INTERNAL") == 1
    assert [each["event"] for each in logs] == ["page_call_failed", "page_call"]


async def test_a_server_that_is_not_ready_takes_nothing() -> None:
    reception = Reception()
    reception.reason = "the server is loading its data"
    with pytest.raises(NotReady, match="loading"):
        await reception.ask(two)
    assert reception.telemetry.refusals == ["not_ready"]
    assert reception.counted("NOT_READY") == 1


async def test_one_more_than_there_are_places_is_refused_and_places_come_back() -> None:
    reception = Reception(places=1)
    left = threading.Event()
    first = asyncio.ensure_future(reception.ask(reception.endless, left.is_set))
    await reception.begun.wait()
    with pytest.raises(RateLimited):
        await reception.ask(two)
    assert reception.telemetry.refusals == ["too_many_page_calls"]
    left.set()
    with pytest.raises(CallerLeft):
        await first
    assert await reception.ask(two) == [1, 2]


async def test_the_work_ends_when_its_caller_leaves() -> None:
    reception = Reception()
    with pytest.raises(CallerLeft):
        await reception.ask(reception.endless, reception.begun.is_set)
    assert reception.counted("CANCELLED") == 1
    async with asyncio.timeout(5):
        await reception.cancelled.wait()


async def test_the_work_ends_when_nobody_reads_on() -> None:
    reception = Reception()

    def read_one() -> Any:
        pieces: Any = reception.desk.pieces("search", reception.endless, gone=lambda: False)
        first = next(pieces)
        pieces.close()
        return first

    assert await asyncio.to_thread(read_one) == "first"
    async with asyncio.timeout(5):
        await reception.cancelled.wait()
    assert reception.counted("CANCELLED") == 1


async def test_the_work_ends_when_its_time_is_over() -> None:
    reception = Reception(seconds=0.05)
    with pytest.raises(DeadlineExceeded):
        await reception.ask(reception.endless)
    assert reception.cancelled.is_set()
    assert reception.counted("DEADLINE_EXCEEDED") == 1


async def test_a_timeout_of_the_work_itself_is_no_deadline() -> None:
    async def late(emit: Emit) -> None:
        raise TimeoutError("upstream")

    with pytest.raises(TimeoutError, match="upstream"):
        await Reception().ask(late)


async def test_closing_cancels_what_runs_and_takes_nothing_more() -> None:
    reception = Reception()
    running = asyncio.ensure_future(reception.ask(reception.endless))
    await reception.begun.wait()
    await reception.desk.close()
    assert reception.cancelled.is_set()
    with pytest.raises(NotReady, match="draining"):
        await running
    with pytest.raises(NotReady, match="draining"):
        await reception.ask(two)

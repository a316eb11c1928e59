"""Lines of JSON for programs, colours for people, and nothing from anybody else in between."""

import asyncio
import errno
import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from rag_grpc.logs import LogFormat, set_up_logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Logging is the process's own: put it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_event_is_a_line_of_json_with_what_all_have_first() -> None:
    out = io.StringIO()
    set_up_logs("json", "info", out)
    structlog.get_logger().info("ready", address="127.0.0.1:1", name="日本\n")
    (line,) = lines(out)
    assert list(line) == ["time", "level", "event", "address", "name"]
    assert (line["event"], line["level"], line["name"]) == ("ready", "info", "日本\n")
    assert abs(datetime.fromisoformat(line["time"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert "日本" in out.getvalue()


def test_time_goes_on() -> None:
    out = io.StringIO()
    set_up_logs("json", "info", out)
    for _ in range(3):
        structlog.get_logger().info("ready")
    times = [line["time"] for line in lines(out)]
    assert times == sorted(times)
    assert len(set(times)) == 3


def test_events_below_the_level_are_not_written() -> None:
    out = io.StringIO()
    set_up_logs("json", "warning", out)
    structlog.get_logger().info("ready")
    structlog.get_logger().warning("calls_abandoned")
    assert [line["event"] for line in lines(out)] == ["calls_abandoned"]


def test_a_traceback_stays_in_its_line() -> None:
    out = io.StringIO()
    set_up_logs("json", "info", out)
    try:
        int("broken")
    except ValueError:
        structlog.get_logger().exception("call_failed")
    (line,) = lines(out)
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert line["exception"][0]["exc_value"].endswith("'broken'")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_local_variable_gets_into_a_traceback(log_format: LogFormat) -> None:
    """They would hold documents, queries and secrets."""
    out = io.StringIO()
    set_up_logs(log_format, "info", out)
    secret = "hunter2"  # noqa: S105 # what must not be seen
    try:
        int(secret[:0])
    except ValueError:
        structlog.get_logger().exception("call_failed")
    assert "ValueError" in out.getvalue()
    assert secret not in out.getvalue()


def test_people_get_text_and_colours_on_a_terminal_only() -> None:
    for out, log_format, coloured in (
        (Terminal(), "auto", True),
        (io.StringIO(), "console", False),
    ):
        set_up_logs(log_format, "info", out)  # type: ignore[arg-type] # both are formats
        structlog.get_logger().info("ready", address="127.0.0.1:1")
        assert "ready" in out.getvalue()
        assert ("\x1b[" in out.getvalue()) is coloured
        with pytest.raises(json.JSONDecodeError):
            json.loads(out.getvalue())


def test_what_libraries_say_is_an_event() -> None:
    out = io.StringIO()
    set_up_logs("json", "info", out)
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    logging.getLogger("asyncio").info("of no interest")
    (line,) = lines(out)
    assert (line["event"], line["logger"], line["level"]) == ("library_message", "asyncio", "error")
    assert line["message"] == "Task exception was never retrieved"


def test_warnings_are_too() -> None:
    out = io.StringIO()
    set_up_logs("json", "info", out)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert [line["event"] for line in lines(out)] == ["library_message"]


def test_the_short_way_writes_what_the_long_one_does() -> None:
    facts: dict[str, Any] = {"code": "OK", "ms": 1.5, "about": {"collection": "a"}, "large": 2**70}
    found = []
    for bound in ({}, {"bound": True}):
        out = io.StringIO()
        set_up_logs("json", "info", out)
        logger = structlog.get_logger().bind(**bound)
        with structlog.contextvars.bound_contextvars(request_id="r", code="never seen"):
            for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
                logger.log(level, "call", **facts)
        found.append(
            [{key: line[key] for key in line if key not in ("time", "bound")} for line in lines(out)]
        )
        structlog.reset_defaults()
    assert found[0] == found[1]
    assert [line["level"] for line in found[0]] == ["info", "warning", "error", "critical"]
    assert list(found[0][0]) == ["level", "event", "code", "ms", "about", "large", "request_id"]


def test_a_traceback_is_written_by_log_too() -> None:
    out = io.StringIO()
    set_up_logs("json", "info", out)
    try:
        int("broken")
    except ValueError:
        structlog.get_logger().log(logging.ERROR, "call_failed", exc_info=True)
    assert "ValueError" in str(lines(out)[0]["exception"])


async def test_the_lines_of_one_turn_of_the_loop_leave_together_and_in_order() -> None:
    class Counting(io.StringIO):
        flushes = 0

        def flush(self) -> None:
            Counting.flushes += 1
            super().flush()

    out = Counting()
    set_up_logs("json", "info", out)
    logger = structlog.get_logger()
    for number in range(3):
        logger.log(logging.INFO, "call", number=number)
    assert (Counting.flushes, out.getvalue()) == (0, ""), "a caller waited for his line"
    await asyncio.sleep(0)
    assert Counting.flushes == 1
    logger.log(logging.INFO, "call", number=3)
    logger.info("ready", number=4)
    assert Counting.flushes == 2
    await asyncio.to_thread(logger.log, logging.INFO, "call", number=5)
    assert [line["number"] for line in lines(out)] == [0, 1, 2, 3, 4, 5]


async def test_a_line_that_cannot_be_made_costs_no_other() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError("broken")

    out = io.StringIO()
    set_up_logs("json", "info", out)
    logger = structlog.get_logger()
    logger.log(logging.INFO, "call", number=0)
    logger.log(logging.INFO, "call", number=Broken())
    logger.log(logging.INFO, "call", number=2)
    logger.info("ready", number=3)
    found = lines(out)
    assert [line.get("number") for line in found] == [0, None, 2, 3]
    assert (found[1]["event"], found[1]["level"], found[1]["error"]) == (
        "call",
        "error",
        "ValueError('broken')",
    )


async def test_no_line_of_another_thread_comes_between_those_that_were_taken_before() -> None:
    out = io.StringIO()
    set_up_logs("json", "info", out)
    logger = structlog.get_logger()

    class Slow:
        def __repr__(self) -> str:
            other.start()
            other.join(0.1)
            return "slow"

    other = threading.Thread(target=logger.info, args=("later",))
    logger.log(logging.INFO, "call", number=Slow())
    logger.log(logging.INFO, "call", number=2)
    await asyncio.sleep(0)
    other.join()
    assert [line["event"] for line in lines(out)] == ["call", "call", "later"]


def test_a_stream_that_cannot_be_written_loses_lines_and_raises_nothing() -> None:
    class Full(io.StringIO):
        full = True

        def flush(self) -> None:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")

    out = Full()
    set_up_logs("json", "info", out)
    logger = structlog.get_logger()
    logger.info("ready")
    logger.log(logging.INFO, "call")
    logging.getLogger("library").warning("full")
    out.full = False
    logger.info("stopped")
    assert lines(out)[-1]["event"] == "stopped"
    out.close()
    logger.info("after all")

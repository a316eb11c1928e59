"""Where log events go and how they look: JSON lines for programs, colours for people.

Events go to standard output, one a line. They are written at once, except for the
access lines of JSON: those of one turn of the event loop are made and written together in
the next, so that no answer waits for its line, and a process that is killed loses the
lines of its last turn. What foreign code prints goes to standard error and never between
them. What libraries log through the standard library becomes the event "library_message".
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, Literal, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["auto", "json", "console"]

# A traceback with the values of local variables would carry documents and secrets into the log. That is
# structlog's default in both formats.
_WITHOUT_LOCALS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def set_up_logs(log_format: LogFormat, level: str, stream: TextIO | None = None) -> None:
    """Send all events at or above `level` to `stream`, standard output by default.

    "auto" means colours on a terminal and JSON lines elsewhere.
    """
    out = _LastingStream(sys.stdout if stream is None else stream)
    console = log_format == "console" or (log_format == "auto" and out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _Clock(),
    ]
    rendering: list[Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=out.isatty(),
                timestamp_key="time",
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
        if console
        else [
            structlog.processors.ExceptionRenderer(_WITHOUT_LOCALS),
            _as_json,
        ]
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    filtering = structlog.make_filtering_bound_logger(number)
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=filtering if console else _with_short_way(filtering, number, out),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", out)),
        cache_logger_on_first_use=True,
    )
    _adopt_library_logs(out, [*shared, _as_library_message], rendering)


class _LastingStream:
    """A stream that loses lines rather than raise: a full disk or a reader that went must not fail calls.

    Nor may it keep the server from stopping, as an exception in the handler of a signal would.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._later: deque[EventDict] = deque()
        # So that lines of several threads stay in their order. Writing may log, by a captured warning.
        self._lock = threading.RLock()

    def isatty(self) -> bool:
        """Whether people look at it."""
        return self._out.isatty()

    def write_later(self, line: EventDict) -> None:
        """Take a line that is written as JSON with what comes next, or with the next flush."""
        self._later.append(line)

    def write(self, text: str) -> int:
        """Write what was taken before, and the text, or lose what cannot be written."""
        with self._lock:
            self._write_taken()
            self._write(text)
        return len(text)

    def flush(self) -> None:
        """Write what was taken before and flush, or lose what cannot be written now."""
        with self._lock:
            self._write_taken()
            try:
                self._out.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def _write_taken(self) -> None:
        while self._later:
            self._write(_made(self._later.popleft()))

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
        except (OSError, ValueError) as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        if isinstance(error, BrokenPipeError):
            # Nobody will ever read it. At its end Python would flush what is left, and exit with 120.
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._out.fileno())
                os.close(nowhere)


def _with_short_way(filtering: Any, least: int, out: _LastingStream) -> Any:
    """Give the logger a `log` that writes JSON without structlog's chain of processors.

    Every call of the server writes one line, with `log` since its level depends on the call, and the chain
    took 17 µs of the event loop for it. The lines look the same, and a test holds the two together.
    """
    clock, flusher = _Clock(), _Flusher(out)

    class Logger(filtering):  # type: ignore[misc] # made at run time by structlog
        def log(self, level: int, event: str, *args: Any, **facts: Any) -> None:
            if level < least:
                return
            if args or self._context or "exc_info" in facts:
                super().log(level, event, *args, **facts)
                return
            line: EventDict = {"time": clock.now(), "level": _LEVELS[level], "event": event, **facts}
            structlog.contextvars.merge_contextvars(None, "", line)
            out.write_later(line)
            flusher.soon()

    return Logger


_LEVELS = {getattr(logging, name.upper()): name for name in ("debug", "info", "warning", "error", "critical")}


class _Flusher:
    """Flushes once for all lines of one turn of the event loop, and at once outside of it.

    Each flush is a system call in which another thread may take the GIL, and a caller would wait until his
    line is made. The lines of other events go through the same stream, so that the order is kept.
    """

    def __init__(self, out: _LastingStream) -> None:
        self._out = out
        self._asked: asyncio.AbstractEventLoop | None = None

    def soon(self) -> None:
        """See to it that what was written leaves the process before the event loop waits again."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._out.flush()
            return
        if self._asked is not loop:
            self._asked = loop
            loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._asked = None
        self._out.flush()


def _adopt_library_logs(out: _LastingStream, before: list[Processor], rendering: list[Processor]) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    handler.addFilter(_is_news)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out that gRPC could not send an answer because the caller had gone, which it calls an error.

    By its name, since gRPC is the edge's alone to know.
    """
    kind = record.exc_info[0] if record.exc_info else None
    return not (record.name.startswith("grpc.") and kind is not None and kind.__name__ == "ExecuteBatchError")


class _Clock:
    """Adds the time, ISO 8601 in UTC. A second is formatted once: at thousands of lines a second it shows."""

    def __init__(self) -> None:
        self._formatted = (0, "")

    def __call__(self, _logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        event["time"] = self.now()
        return event

    def now(self) -> str:
        """Give the time."""
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        formatted = self._formatted
        if formatted[0] != seconds:
            # Replaced whole, since several threads log.
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
            self._formatted = formatted = (seconds, text)
        return f"{formatted[1]}.{nanoseconds // 1000:06d}Z"


def _as_json(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    """Write an event as JSON, with what every line has in front, for people who read JSON after all."""
    line = {key: event.pop(key) for key in ("time", "level", "event") if key in event}
    line.update(event)
    return _to_json(line)


def _to_json(line: EventDict) -> str:
    """Write a line by orjson, which takes a tenth of the time that `json` takes: every call writes one.

    What it cannot write (a number beyond 64 bits, half of a surrogate pair) is rare, and `json` can.
    """
    try:
        return orjson.dumps(line, default=repr).decode()
    except TypeError:
        return json.dumps(line, default=repr)


def _made(line: EventDict) -> str:
    """Make a line that was taken before. Whoever writes next must not pay for one that cannot be made."""
    try:
        return _to_json(line) + "\n"
    except Exception as error:  # noqa: BLE001 # what a fact's own repr raises may be anything
        bare = {"time": line["time"], "level": "error", "event": line["event"], "error": repr(error)}
        return _to_json(bare) + "\n"


def _as_library_message(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    record: Any = event.get("_record")
    event["message"] = event["event"]
    event["event"] = "library_message"
    if record is not None:
        event["logger"] = record.name
    return event

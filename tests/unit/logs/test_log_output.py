"""What a line of the log may hold: never a value that a traceback happened to pass by."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import structlog

from rag_grpc.logs import LogFormat, set_up_logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_local_variables(log_format: LogFormat) -> None:
    out = io.StringIO()
    set_up_logs(log_format, "info", out)
    password = "hunter" + "2"
    try:
        raise ValueError(len(password))
    except ValueError:
        structlog.get_logger(log_format).exception("boom")
    assert "ValueError" in out.getvalue()
    assert "test_a_traceback_shows_no_local_variables" in out.getvalue()
    assert password not in out.getvalue()

"""Writes one line for each call: which, how it ended, how long it took, what it was about."""

from __future__ import annotations

import logging

import structlog

from rag_grpc.rpc.interceptors.base import CallInterceptor, Proceed
from rag_grpc.rpc.interceptors.call import Call, Work

log = structlog.get_logger(__name__)


class AccessLog(CallInterceptor):
    """One line when a call ends. Never a text that callers sent: `about()` takes names and counts."""

    async def around(self, call: Call, proceed: Proceed) -> bytes | None:
        """Log the call, however it ends."""
        try:
            return await proceed(call)
        finally:
            # Probes come every few seconds for ever; they are there for who asks for debug.
            level = logging.DEBUG if call.method.work is Work.EXEMPT else logging.INFO
            log.log(level, "call", **_line(call))


def _line(call: Call) -> dict[str, object]:
    line: dict[str, object] = {
        "method": call.method.path[1:],
        "code": call.code.name if call.code else "UNKNOWN",
        "ms": round(call.elapsed() * 1000, 3),
        "received_bytes": call.received_bytes,
        "sent_bytes": call.sent_bytes,
    }
    if call.reason:
        line["reason"] = call.reason
    if call.about:
        # As it is now: the line is made later.
        line["about"] = dict(call.about)
    return line

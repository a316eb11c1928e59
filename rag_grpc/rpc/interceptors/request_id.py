"""Gives each call a name by which caller, log and errors speak of it."""

from __future__ import annotations

import random
import re

from structlog.contextvars import bind_contextvars

from rag_grpc.rpc.interceptors.base import CallInterceptor, Proceed
from rag_grpc.rpc.interceptors.call import Call

REQUEST_ID = "x-request-id"

# What callers send lands in logs and headers, so it is short and of harmless characters.
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class RequestId(CallInterceptor):
    """Takes the caller's `x-request-id`, or makes one, and sends it back in trailing metadata."""

    async def around(self, call: Call, proceed: Proceed) -> bytes | None:
        """Name the call before anything is logged of it."""
        call.request_id = _given(call) or _made()
        call.context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
        bind_contextvars(request_id=call.request_id)
        return await proceed(call)


def _given(call: Call) -> str | None:
    for key, value in call.context.invocation_metadata() or ():
        if key == REQUEST_ID and isinstance(value, str) and _ACCEPTABLE.fullmatch(value):
            return value
    return None


def _made() -> str:
    # It only has to be unique; secrets would cost a system call each time.
    return f"{random.getrandbits(96):024x}"

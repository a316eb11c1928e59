"""Turns what is raised into what a caller may see. A security control: nothing else stands between.

An exception that escapes reaches the caller with its text, which may name files,
SQL or other people's documents.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import structlog

from rag_grpc.rpc.interceptors.base import CallInterceptor, Proceed
from rag_grpc.rpc.interceptors.call import Call
from rag_grpc.rpc.interceptors.request_id import REQUEST_ID
from rag_grpc.rpc.status import RichStatus, code_of, reason_of, rich_status

log = structlog.get_logger(__name__)


class Errors(CallInterceptor):
    """Maps errors to statuses here and nowhere else, and settles the call's code however it ends."""

    async def around(self, call: Call, proceed: Proceed) -> bytes | None:
        """Answer with the status of what was raised; faults of ours go to the log with their traceback."""
        try:
            response = await proceed(call)
        except (asyncio.CancelledError, grpc.aio.AbortError, grpc.aio.InternalError) as error:
            call.code = _code_of_ended(call)
            if isinstance(error, grpc.aio.InternalError):
                # The caller went while we wrote to it. gRPC would log that as our error.
                raise asyncio.CancelledError from error
            raise
        except Exception as error:
            call.code, call.reason = code_of(error), reason_of(error)
            if call.code is grpc.StatusCode.INTERNAL:
                log.exception("call_failed", method=call.method.path[1:])
            status = rich_status(error, call.request_id, (REQUEST_ID, call.request_id))
            await _abort(call, status)
        call.code = _code_of_ended(call, grpc.StatusCode.OK)
        return response


async def _abort(call: Call, status: RichStatus) -> None:
    context: Any = call.context  # the type stubs lack abort_with_status
    try:
        await context.abort_with_status(status)
    except grpc.aio.InternalError as gone:
        # The caller went, or his deadline passed, before he could be told. Likewise.
        raise asyncio.CancelledError from gone


def _code_of_ended(call: Call, otherwise: grpc.StatusCode = grpc.StatusCode.CANCELLED) -> grpc.StatusCode:
    """Say how a call ended that set its code itself, was cancelled, or simply returned."""
    code: Any = call.context.code()  # unlike the type stubs: None where unset, a number after abort()
    if code:
        return code if isinstance(code, grpc.StatusCode) else _CODES[code]
    if otherwise is grpc.StatusCode.CANCELLED and call.context.time_remaining() == 0:
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return otherwise


_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

"""The status that a call of grpc.aio really ended with.

Where a write meets the end of a stream, grpc.aio replaces the status that the server sent by INTERNAL
(grpc/grpc#36066; in two of three streams that a server refuses, with 1.85). The status is still there at the
moment when the call is done, so it is read then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Coroutine


class FirstStatus:
    """Watches a call; `error` is what it ended with first, None where that was OK or is yet to come."""

    def __init__(self, call: Any) -> None:
        self.error: grpc.RpcError | None = None
        self._ended = False
        call.add_done_callback(self._end)

    def _end(self, call: Any) -> None:
        if self._ended:
            return
        self._ended = True
        code = _result(call.code())
        if code is not grpc.StatusCode.OK:
            trailers = _result(call.trailing_metadata())
            nothing = grpc.aio.Metadata()
            self.error = grpc.aio.AioRpcError(code, nothing, trailers, _result(call.details()), None)


def _result(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that has nothing to wait for: those of a call that is done."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    coroutine.close()
    return None

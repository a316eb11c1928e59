"""Does not begin what nobody waits for any more."""

from __future__ import annotations

from rag_grpc.core.errors import DeadlineExceeded
from rag_grpc.rpc.interceptors.base import CallInterceptor, Proceed
from rag_grpc.rpc.interceptors.call import Call


class Deadline(CallInterceptor):
    """Refuses a call whose deadline passed while it lay in a queue.

    A deadline that passes later cancels the call: gRPC does that. What stands in queues behind this
    (embedding, search, writing) drops what was cancelled.
    """

    async def around(self, call: Call, proceed: Proceed) -> bytes | None:
        """Look at the clock once, before the request is decoded."""
        # None where the caller set no deadline, though the type stubs do not know it.
        remaining: float | None = call.context.time_remaining()
        if remaining is not None and remaining <= 0:
            raise DeadlineExceeded("the deadline passed before the call was begun")
        return await proceed(call)

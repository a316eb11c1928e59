"""Records what a gRPC client sends: a server in between that keeps the bytes of one method's requests.

Each is then sent again, unchanged, by a load generator that costs less than the client.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

LARGE = [("grpc.max_receive_message_length", 1 << 28), ("grpc.max_send_message_length", 1 << 28)]


class Recorder(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # the stubs alone take arguments
    """Passes unary calls on. Of the recorded method only the first is: its answer serves for all others."""

    def __init__(self, channel: Any, method: str) -> None:
        self._channel = channel
        self._method = method
        self._response = b""
        self.requests: list[bytes] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Handle every method there is."""
        method = str(handler_call_details.method)

        def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
            del context
            recorded = method == self._method
            if recorded:
                self.requests.append(request)
            if not recorded or not self._response:
                response = bytes(self._channel.unary_unary(method)(request))
                if not recorded:
                    return response
                self._response = response
            return self._response

        return grpc.unary_unary_rpc_method_handler(handle)


@contextmanager
def recorder(address: str, method: str) -> Iterator[tuple[int, list[bytes]]]:
    """Stand before the server at `address`; yields the port to call and the list that fills."""
    with grpc.insecure_channel(address, options=LARGE) as channel:
        handler = Recorder(channel, method)
        server = grpc.server(ThreadPoolExecutor(4), handlers=[handler], options=LARGE)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port, handler.requests
        finally:
            server.stop(None).wait()

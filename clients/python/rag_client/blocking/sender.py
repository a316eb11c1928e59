"""The connection, and how calls go over it: the one place where the sync client talks to gRPC."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import grpc

from rag_client.channel import DEFAULT_TARGET, Terms
from rag_client.methods import stub_calls
from rag_client.status import from_rpc_error
from rag_client.streaming.exchange import Requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from rag_client.models import Page
    from rag_client.requests import Call, StreamCall

T = TypeVar("T")
P_co = TypeVar("P_co", bound="Page", covariant=True)


class ReadPage(Protocol[P_co]):
    """Reads the page behind a token; an empty token means the first."""

    def __call__(self, *, page_token: str) -> P_co:
        """Read it."""


class BlockingSender:
    """Holds the channel; the services are built on it."""

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float | None = None,
        timeouts: Mapping[str, float] | None = None,
        retries: bool = True,
        wait_for_ready: bool = False,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._terms = Terms(
            target=target,
            credentials=credentials,
            metadata=metadata,
            timeout=timeout,
            timeouts=timeouts or {},
            retries=retries,
            wait_for_ready=wait_for_ready,
            options=options,
        )
        channel_options = self._terms.channel_options()
        self._channel = (
            grpc.secure_channel(target, credentials, options=channel_options)
            if credentials
            else grpc.insecure_channel(target, options=channel_options)
        )
        self._calls = stub_calls(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        self._channel.close()

    def _send(self, call: Call[T], timeout: float | None) -> T:
        try:
            response = self._bound(call.method, timeout)(call.request)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        return call.read(response)

    def _stream(self, call: Call[T], timeout: float | None) -> Iterator[T]:
        stream = self._bound(call.method, timeout)(call.request)
        try:
            for response in stream:
                yield call.read(response)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            stream.cancel()

    def _exchange(self, call: StreamCall[T], items: Iterable[Any], timeout: float | None) -> Iterator[T]:
        """Send items, packed, in gRPC's own thread, and yield what comes back meanwhile."""
        requests = Requests(call, items)
        stream = self._bound(call.method, timeout)(requests.messages())
        requests.of(stream)
        try:
            for response in stream:
                if (value := call.read(response)) is not None:
                    yield value
        except grpc.RpcError as error:
            if requests.failure is not None:
                raise requests.failure from None
            raise from_rpc_error(error) from error
        finally:
            stream.cancel()

    def _pages(self, read_page: ReadPage[P_co]) -> Iterator[P_co]:
        token = ""
        while True:
            page = read_page(page_token=token)
            yield page
            if not (token := page.next_page_token):
                return

    def _bound(self, method: str, timeout: float | None) -> Callable[[Any], Any]:
        """Return a method of the channel, bound to this client's terms."""
        return partial(self._calls[method], **self._terms.call_options(method, timeout))

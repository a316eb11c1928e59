"""The connection, and how calls go over it: the one place where the asyncio client talks to gRPC."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import grpc

from rag_client.channel import DEFAULT_TARGET, Terms
from rag_client.methods import stub_calls
from rag_client.status import from_rpc_error
from rag_client.streaming.exchange import AsyncRequests
from rag_client.streaming.first_status import FirstStatus

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterable,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
        Mapping,
        Sequence,
    )
    from types import TracebackType

    from rag_client.models import Page
    from rag_client.requests import Call, StreamCall

T = TypeVar("T")
P_co = TypeVar("P_co", bound="Page", covariant=True)


class ReadPage(Protocol[P_co]):
    """Reads the page behind a token; an empty token means the first."""

    def __call__(self, *, page_token: str) -> Awaitable[P_co]:
        """Read it."""


class AsyncSender:
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
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        if self._channel is not None:
            await self._channel.close(None)

    async def _send(self, call: Call[T], timeout: float | None) -> T:
        try:
            response = await self._bound(call.method, timeout)(call.request)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        return call.read(response)

    async def _stream(self, call: Call[T], timeout: float | None) -> AsyncGenerator[T]:
        stream = self._bound(call.method, timeout)(call.request)
        try:
            async for response in stream:
                yield call.read(response)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            stream.cancel()

    async def _exchange(
        self, call: StreamCall[T], items: Iterable[Any] | AsyncIterable[Any], timeout: float | None
    ) -> AsyncGenerator[T]:
        """Send items, packed, in gRPC's own task, and yield what comes back meanwhile."""
        requests = AsyncRequests(call, items)
        stream = self._bound(call.method, timeout)(requests.messages())
        requests.of(stream)
        status = FirstStatus(stream)
        try:
            async for response in stream:
                if (value := call.read(response)) is not None:
                    yield value
        except (asyncio.CancelledError, grpc.RpcError) as error:
            if requests.failure is not None:
                raise requests.failure from None
            if not isinstance(error, grpc.RpcError):
                raise
            raise from_rpc_error(status.error or error) from error
        finally:
            stream.cancel()

    async def _pages(self, read_page: ReadPage[P_co]) -> AsyncIterator[P_co]:
        token = ""
        while True:
            page = await read_page(page_token=token)
            yield page
            if not (token := page.next_page_token):
                return

    def _bound(self, method: str, timeout: float | None) -> Callable[[Any], Any]:
        """Return a method of the channel, bound to this client's terms.

        The channel belongs to the loop that it is made in, so the first call makes it, not the constructor.
        """
        if self._channel is None:
            options = self._terms.channel_options()
            self._channel = (
                grpc.aio.secure_channel(self._terms.target, self._terms.credentials, options=options)
                if self._terms.credentials
                else grpc.aio.insecure_channel(self._terms.target, options=options)
            )
            self._calls = stub_calls(self._channel)
        return partial(self._calls[method], **self._terms.call_options(method, timeout))

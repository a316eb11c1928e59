"""Load from another process, for calls that carry much: gRPC's own client, sending bytes made beforehand.

It parses nothing while it is timed. What a call costs this client is small beside
what a batch of 64 queries or a message of 200 documents costs the server; for calls
that carry little, `raw_frames` takes its place.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc


def in_another_process(target: Callable[..., Any], *arguments: Any) -> Any:
    """Run `target` in a fresh process and return its result."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(target, arguments)


def unary(
    address: str, method: str, requests: Sequence[bytes], in_flight: int
) -> tuple[float, list[float], list[bytes]]:
    """Send unary requests; return seconds in all, each one's seconds, and the responses."""
    return asyncio.run(_unary(address, method, requests, in_flight))


async def _unary(
    address: str, method: str, requests: Sequence[bytes], in_flight: int
) -> tuple[float, list[float], list[bytes]]:
    async with grpc.aio.insecure_channel(address) as channel:
        caller: Any = channel
        call = caller.unary_unary(method)
        await call(requests[0])
        latencies = [0.0] * len(requests)
        responses = [b""] * len(requests)
        places = iter(range(len(requests)))

        async def work() -> None:
            for place in places:
                began = time.perf_counter()
                responses[place] = await call(requests[place])
                latencies[place] = time.perf_counter() - began

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        return time.perf_counter() - began, latencies, responses


def stream(address: str, method: str, messages: Sequence[bytes]) -> tuple[float, list[bytes]]:
    """Send messages while reading; return seconds until all were answered, and the responses."""
    return asyncio.run(_stream(address, method, messages))


async def _stream(address: str, method: str, messages: Sequence[bytes]) -> tuple[float, list[bytes]]:
    async with grpc.aio.insecure_channel(address) as channel:
        caller: Any = channel
        call = caller.stream_stream(method)()
        began = time.perf_counter()

        async def write() -> None:
            for message in messages:
                await call.write(message)
            await call.done_writing()

        writing = asyncio.create_task(write())
        responses = [response async for response in call]
        await writing
        return time.perf_counter() - began, responses

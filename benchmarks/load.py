"""Load from another process, for streams: gRPC's own client, sending bytes made beforehand.

It parses nothing while it is timed. What it costs is small beside what a message of 200 documents costs
the server (11 of some 500 µs a document); for unary calls `raw_frames` takes its place.
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

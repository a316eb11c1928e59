"""Responses stay below GetServerInfo's `max_response_bytes`, so that any caller can read them.

protobuf measures a message by encoding it, which takes a sixth of what making it
took: no estimate from Python's side is cheaper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.message import Message

from rag_grpc.core.errors import LimitExceeded

M = TypeVar("M", bound=Message)
FRAME_BYTES = 8
"""Tag and length around a message within another: one and at most five bytes, rounded up."""


def too_large(size: int, limit: int, advice: str) -> LimitExceeded:
    """Make the error of a response of `size` bytes or more; `advice` says how to ask for less."""
    return LimitExceeded(
        f"the response has {size} bytes or more, at most {limit} are sent"
        f" (max_response_bytes of GetServerInfo): {advice}",
        metadata={
            "limit": "max_response_bytes",
            "max_response_bytes": str(limit),
            "response_bytes": str(size),
        },
    )


def fitting(messages: Sequence[M], room: int) -> list[M]:
    """Take the first messages that have room in one response: at least one, where there is one."""
    kept: list[M] = []
    for message in messages:
        room -= message.ByteSize() + FRAME_BYTES
        if room < 0 and kept:
            break
        kept.append(message)
    return kept

"""A generator that writes what a test tells it to, piece by piece, and waits where it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from rag_grpc.core.answers import Stop, WritingTask, Written
from rag_grpc.core.errors import RagError


class ScriptedGenerator:
    """Writes `pieces`; then it waits until `free` is set; then it raises `fault`, or ends."""

    name = "scripted"
    takes_instructions = True

    def __init__(self, pieces: Sequence[str], *, fault: RagError | None = None) -> None:
        self.pieces = pieces
        self.fault = fault
        self.free = asyncio.Event()
        self.writing = 0
        self.closed = 0

    async def write(self, task: WritingTask) -> AsyncGenerator[str | Written, None]:
        self.writing += 1
        try:
            for piece in self.pieces:
                yield piece
            await self.free.wait()
            if self.fault is not None:
                raise self.fault
            yield Written(Stop.COMPLETE, input_tokens=120, output_tokens=7)
        finally:
            self.closed += 1

"""GenerationService for the asyncio client."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Unpack

from rag_client import answer_requests
from rag_client.asynchronous.sender import AsyncSender

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from rag_client.answers import Answer, AnswerEvent
    from rag_client.queries import QueryOptions


class AsyncGenerationCalls(AsyncSender):
    """Answers questions from what the collection holds."""

    async def generate_answer(
        self,
        question: str,
        *,
        generator: str = "",
        max_output_tokens: int = 0,
        temperature: float | None = None,
        instructions: str = "",
        timeout: float | None = None,
        **options: Unpack[QueryOptions],
    ) -> Answer:
        """Answer a question; `options` say how its sources are found, `top_k` how many, 0 for 5."""
        call = answer_requests.generate_answer(
            {"query": question, **options},
            generator=generator,
            max_output_tokens=max_output_tokens,
            temperature=temperature,
            instructions=instructions,
        )
        return await self._send(call, timeout)

    async def stream_answer(
        self,
        question: str,
        *,
        generator: str = "",
        max_output_tokens: int = 0,
        temperature: float | None = None,
        instructions: str = "",
        timeout: float | None = None,
        **options: Unpack[QueryOptions],
    ) -> AsyncGenerator[AnswerEvent]:
        """Answer a question as it is written: first Sources, then text, last the Answer, which holds.

        To stop the server's work, leave it through `contextlib.aclosing`.
        """
        call = answer_requests.stream_answer(
            {"query": question, **options},
            generator=generator,
            max_output_tokens=max_output_tokens,
            temperature=temperature,
            instructions=instructions,
        )
        async with aclosing(self._stream(call, timeout)) as events:
            async for event in events:
                yield event

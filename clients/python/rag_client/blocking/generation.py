"""GenerationService for the sync client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from rag_client import answer_requests
from rag_client.blocking.sender import BlockingSender

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag_client.answers import Answer, AnswerEvent
    from rag_client.queries import QueryOptions


class GenerationCalls(BlockingSender):
    """Answers questions from what the collection holds."""

    def generate_answer(
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
        return self._send(call, timeout)

    def stream_answer(
        self,
        question: str,
        *,
        generator: str = "",
        max_output_tokens: int = 0,
        temperature: float | None = None,
        instructions: str = "",
        timeout: float | None = None,
        **options: Unpack[QueryOptions],
    ) -> Iterator[AnswerEvent]:
        """Answer a question as it is written: first Sources, then text, last the Answer, which holds.

        Close the iterator to stop the server's work.
        """
        call = answer_requests.stream_answer(
            {"query": question, **options},
            generator=generator,
            max_output_tokens=max_output_tokens,
            temperature=temperature,
            instructions=instructions,
        )
        yield from self._stream(call, timeout)

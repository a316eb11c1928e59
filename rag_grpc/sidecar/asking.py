"""The page's questions, put to the same use cases that callers of gRPC use."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import aclosing
from itertools import chain
from time import perf_counter
from typing import Any

import orjson

from rag_grpc.core.answers import Answer, AnswerRequest
from rag_grpc.core.errors import RagError
from rag_grpc.core.generation import Generation
from rag_grpc.core.limits import Limits
from rag_grpc.core.ports import MetadataCodec
from rag_grpc.core.queries import QueryResult
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.sidecar.desk import CallerLeft, Desk, Emit
from rag_grpc.sidecar.exchange import Request
from rag_grpc.sidecar.findings import answer_to_json, result_to_json
from rag_grpc.sidecar.problems import problem_of
from rag_grpc.sidecar.questions import question_of


class Asking:
    """Answers from the sidecar's threads; the work is done on the event loop, through `desk`."""

    def __init__(
        self,
        desk: Desk,
        *,
        retrieval: Retrieval,
        generation: Generation,
        codec: MetadataCodec,
        limits: Limits,
    ) -> None:
        self._desk = desk
        self._retrieval = retrieval
        self._generation = generation
        self._codec = codec
        self._limits = limits

    def search(self, request: Request) -> dict[str, Any]:
        """Find passages. Raises RagError."""
        question = question_of(request.body, self._limits)

        async def work(emit: Emit) -> None:
            emit(await self._retrieval.query(question.query))

        (result,) = self._desk.pieces("search", work, gone=request.gone)
        # In this thread, not on the loop: texts may be long.
        return result_to_json(result, self._codec)

    def answer(self, request: Request) -> Generator[bytes, None, None]:
        """Answer, a line of JSON for each event: what was found, text as it is written, the whole answer.

        Raises RagError where it fails before there is anything; what fails later is the last line.
        """
        question = question_of(request.body, self._limits)
        asked = AnswerRequest(question.query, question.generator)

        async def work(emit: Emit) -> None:
            began = perf_counter()
            async with aclosing(self._generation.stream(asked)) as events:
                async for event in events:
                    emit((event, perf_counter() - began))

        pieces = self._desk.pieces("answer", work, gone=request.gone)
        first = next(pieces)
        return self._lines(chain([first], pieces), pieces)

    def _lines(
        self, events: Iterator[Any], running: Generator[Any, None, None]
    ) -> Generator[bytes, None, None]:
        try:
            for event, seconds in events:
                yield _line(self._event(event, seconds))
        except (RagError, CallerLeft) as error:
            yield _line({"error": problem_of(error)})
        finally:
            running.close()

    def _event(self, event: QueryResult | str | Answer, seconds: float) -> dict[str, Any]:
        if isinstance(event, str):
            return {"text": event}
        if isinstance(event, Answer):
            return {"answer": answer_to_json(event) | {"seconds": seconds}}
        return {"found": result_to_json(event, self._codec) | {"seconds": seconds}}


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)

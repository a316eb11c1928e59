"""The page's questions, put to the same use cases that callers of gRPC use."""

from __future__ import annotations

from typing import Any

from rag_grpc.core.limits import Limits
from rag_grpc.core.ports import MetadataCodec
from rag_grpc.core.retrieval import Retrieval
from rag_grpc.sidecar.desk import Desk, Emit
from rag_grpc.sidecar.exchange import Request
from rag_grpc.sidecar.findings import result_to_json
from rag_grpc.sidecar.questions import question_of


class Asking:
    """Answers from the sidecar's threads; the work is done on the event loop, through `desk`."""

    def __init__(self, desk: Desk, *, retrieval: Retrieval, codec: MetadataCodec, limits: Limits) -> None:
        self._desk = desk
        self._retrieval = retrieval
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

"""What must hold between the fields of a message: the functions that message rules name.

Each looks at one message whose fields were looked at alone already. `prefix` is
the message's path with a dot behind it, or empty for a request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rag_grpc.core.chunking import DEFAULT_MAX_CHARACTERS
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import NO_EMBEDDER, Vector
from rag_grpc.rpc.evaluation_checks import check_evaluation
from rag_grpc.rpc.findings import Findings
from rag_grpc.rpc.query_checks import check_query
from ragapi.v1 import (
    collection_service_pb2,
    generation_service_pb2,
    ingestion_service_pb2,
    retrieval_service_pb2,
    types_pb2,
)

MessageCheck = Callable[[Any, str, Findings, Limits], None]

_FLOAT32 = np.dtype("<f4")


def check_vector(vector: types_pb2.Vector, prefix: str, findings: Findings, _: Limits) -> None:
    """One form at most, whole numbers of four bytes, all finite."""
    packed, values = vector.packed, vector.values
    if packed and values:
        findings.breaks(prefix[:-1], "has both `values` and `packed`; set one of them")
    if len(packed) % 4:
        findings.breaks(
            prefix + "packed",
            f"has {len(packed)} bytes; it must be four for each number, little-endian float32",
        )
    elif packed and not finite(np.frombuffer(packed, _FLOAT32)):
        findings.breaks(prefix + "packed", "holds a number that is not finite; all must be")
    if values and not finite(np.fromiter(values, np.float32, len(values))):
        findings.breaks(prefix + "values", "holds a number that is not finite; all must be")


def finite(numbers: Vector) -> bool:
    """Whether every number is."""
    # Looking for a zero byte among the answers takes a third of the time that `all` takes.
    return b"\0" not in np.isfinite(numbers).tobytes()


def check_chunk(chunk: types_pb2.Chunk, prefix: str, findings: Findings, _: Limits) -> None:
    """Both offsets or none, in order."""
    if chunk.HasField("start") != chunk.HasField("end"):
        missing, there = ("end", "start") if chunk.HasField("start") else ("start", "end")
        findings.breaks(prefix + missing, f"is unset beside `{there}`; set both or none")
    elif chunk.start > chunk.end:
        findings.breaks(prefix + "start", f"is {chunk.start}, above `end`, which is {chunk.end}")


def check_document(document: types_pb2.Document, prefix: str, findings: Findings, limits: Limits) -> None:
    """Text or chunks; vectors for all chunks or none."""
    if len(document.chunks) > limits.max_document_chunks:
        return  # that was said; it may be millions, which are not looked at
    text = document.text
    if not document.chunks:
        if not text or text.isspace():
            findings.breaks(prefix + "text", "holds no more than white space; set it, or `chunks`")
        if document.embedder_fingerprint:
            findings.breaks(
                prefix + "embedder_fingerprint", "goes with chunks that carry vectors; leave it out"
            )
        return
    without = [place for place, chunk in enumerate(document.chunks) if not has_vector(chunk)]
    if without and len(without) < len(document.chunks):
        findings.breaks(
            f"{prefix}chunks[{without[0]}].vector", "is unset while other chunks have one; set all or none"
        )
    if document.embedder_fingerprint and len(without) == len(document.chunks):
        findings.breaks(prefix + "embedder_fingerprint", "goes with chunks that carry vectors; leave it out")
    if text:
        _check_offsets(document, prefix, findings)


def _check_offsets(document: types_pb2.Document, prefix: str, findings: Findings) -> None:
    length = len(document.text)
    for place, chunk in enumerate(document.chunks):
        if chunk.end > length:
            findings.breaks(
                f"{prefix}chunks[{place}].end", f"is {chunk.end}, behind the text's {length} characters"
            )


def has_vector(message: types_pb2.Chunk | retrieval_service_pb2.QueryRequest) -> bool:
    """Whether a vector is there; one without numbers counts as unset."""
    return message.HasField("vector") and bool(message.vector.packed or message.vector.values)


def check_selector(
    request: ingestion_service_pb2.DeleteDocumentsRequest, prefix: str, findings: Findings, _: Limits
) -> None:
    """Exactly one selector. Where none is set, all three are named: any would do."""
    named = {"documents": request.documents, "filter": request.filter, "all": request.all}
    chosen = [name for name, value in named.items() if value]
    if len(chosen) != 1:
        for name in chosen or named:
            findings.breaks(prefix + name, "exactly one of `documents`, `filter` and `all` must be set")


def check_rerank(rerank: retrieval_service_pb2.Rerank, prefix: str, findings: Findings, _: Limits) -> None:
    """One of the methods."""
    if rerank.WhichOneof("method") is None:
        findings.breaks(prefix + "method", "is required: set `mmr` or `cross_encoder`")


def check_collection(
    collection: collection_service_pb2.Collection, prefix: str, findings: Findings, _: Limits
) -> None:
    """Without an embedder, the dimension is the caller's to say."""
    if collection.embedder == NO_EMBEDDER and not collection.dimension:
        findings.breaks(prefix + "dimension", 'is required where `embedder` is "none": 1 to 4096')


def check_chunking(
    chunking: collection_service_pb2.Chunking, prefix: str, findings: Findings, _: Limits
) -> None:
    """The overlap leaves room to move on, also where the maximum is the server's default."""
    overlap, maximum = chunking.overlap_characters, chunking.max_characters or DEFAULT_MAX_CHARACTERS
    if overlap * 2 >= maximum:
        findings.breaks(
            prefix + "overlap_characters",
            f"is {overlap}; it must be less than half of `max_characters`, which is {maximum}",
        )


def check_answer(
    options: generation_service_pb2.AnswerOptions, prefix: str, findings: Findings, limits: Limits
) -> None:
    """A question has words, and is as sound as any query."""
    if not options.HasField("retrieval"):
        return
    if not options.retrieval.query.strip():
        findings.breaks(prefix + "retrieval.query", "is required: it is the question")
    else:
        check_query(options.retrieval, prefix + "retrieval.", findings, limits, is_question=True)


CHECKS: dict[str, MessageCheck] = {
    "answer": check_answer,
    "chunk": check_chunk,
    "chunking": check_chunking,
    "collection": check_collection,
    "document": check_document,
    "evaluation": check_evaluation,
    "query": check_query,
    "rerank": check_rerank,
    "selector": check_selector,
    "vector": check_vector,
}

"""Answers as bytes of the protobuf wire format, written directly.

Ten hits are some eighty fields. Set one by one on messages and serialised afterwards,
they take as long as everything else that Python does for a query; put together as
bytes a third of that, and metadata is never parsed. The format is the specification's
(protobuf.dev/programming-guides/encoding): a tag, `field number << 3 | wire type`,
then the value, with its length in front where that varies; fields at their default
are left out, and fields of one message may come in any order.

Only what every query has is written here. An answer with `explain`, highlights or
vectors is made as a message, by `convert_retrieval`, and a test holds the two ways
together for random answers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from google.protobuf.message import Message

from rag_grpc.core.models import Chunk
from rag_grpc.core.queries import QueryResult
from rag_grpc.core.searches import Hit, PackedHits, SearchMode, SearchStrategy
from rag_grpc.rpc.convert import Projection
from rag_grpc.rpc.convert_retrieval import answer_to_proto, fill_plan
from ragapi.v1 import retrieval_service_pb2 as pb
from ragapi.v1 import types_pb2

VARINT, FIXED32, LENGTH = 0, 5, 2


class _Varints(dict[int, bytes]):
    """Numbers as varints, seven bits a byte, lowest first: those of two bytes at once, others when asked.

    A table and not a function: an answer of ten hits has eighty of them, nearly all of them lengths.
    """

    def __init__(self) -> None:
        super().__init__((number, self[number]) for number in range(1 << 14))

    def __missing__(self, number: int) -> bytes:
        if 1 << 14 <= number < 1 << 21:
            # Where a chunk begins in a long document.
            return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
        parts = bytearray()
        while number > 0x7F:  # noqa: PLR2004  # seven bits
            parts.append(number & 0x7F | 0x80)
            number >>= 7
        parts.append(number)
        return bytes(parts)


VARINTS: Final = _Varints()


def _tag(message: type[Message], field: str, wire_type: int) -> bytes:
    """Look a field's number up where it is defined."""
    return VARINTS[message.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type]


_QUERY: Final = _tag(pb.QueryResponse, "query", LENGTH)
_RESULTS: Final = _tag(pb.QueryResponse, "results", LENGTH)
_DOC_ID: Final = _tag(pb.Hit, "doc_id", LENGTH)
_SCORE: Final = _tag(pb.Hit, "score", FIXED32)
_METADATA: Final = _tag(pb.Hit, "metadata", LENGTH)
_CHUNK: Final = _tag(pb.Hit, "chunk", LENGTH)
_TITLE: Final = _tag(pb.Hit, "title", LENGTH)
_ORDINAL: Final = _tag(types_pb2.Chunk, "ordinal", VARINT)
_TEXT: Final = _tag(types_pb2.Chunk, "text", LENGTH)
_START: Final = _tag(types_pb2.Chunk, "start", VARINT)
_END: Final = _tag(types_pb2.Chunk, "end", VARINT)
_HEADINGS: Final = _tag(types_pb2.Chunk, "headings", LENGTH)
_BATCH_RESULTS: Final = _tag(pb.BatchQueryResponse, "results", LENGTH)
_BATCH_RESPONSE: Final = _tag(pb.BatchQueryResult, "response", LENGTH)
_float32 = struct.Struct("<f").pack


EMPTY_FIELDS = 5
"""Bytes of fields that a packed hit has though they are empty."""
FEW_HITS = 32
"""So many are encoded without a look at their sizes, which takes a third of the time of encoding them."""


def encode_answer(request: pb.QueryRequest, result: QueryResult, room: int) -> bytes | None:
    """Encode a QueryResponse, or give None where it would have more than `room` bytes.

    One that is far too large is not encoded at all, and one of few hits up to where it leaves the room.
    """
    as_message = request.explain or request.highlight or request.include_vectors
    if (as_message or len(result.hits) > FEW_HITS) and least_size(request, result) > room:
        return None
    if as_message:
        answer = answer_to_proto(request, result).SerializeToString()
        return answer if len(answer) <= room else None
    if isinstance(result.hits, PackedHits) and not request.metadata_keys:
        pieces = _encode_packed(result.hits, room)
    else:
        pieces = encode_hits(result.hits, Projection(frozenset(request.metadata_keys)), room)
    if pieces is None:
        return None
    if request.query:
        query = request.query.encode()
        pieces.append(b"%b%b%b" % (_QUERY, VARINTS[len(query)], query))
    pieces.append(_encode_plan(result.strategy, result.mode, result.matching_chunks))
    answer = b"".join(pieces)
    return answer if len(answer) <= room else None


def _encode_packed(hits: PackedHits, room: int) -> list[bytes] | None:
    """Encode hits that wait for nothing but their scores; None where they have more than `room` bytes."""
    if sum(map(len, hits.packed)) + 4 * len(hits) > room:
        return None
    scores = hits.scores.astype("<f4", copy=False).tobytes()
    pieces = [b""] * (2 * len(hits))
    pieces[::2] = hits.packed
    pieces[1::2] = [scores[begin : begin + 4] for begin in range(0, len(scores), 4)]
    return pieces


class WireHits:
    """The HitCodec of this edge: a hit as it stands in QueryResponse.results, up to its score's four bytes.

    The tag of the score is the last byte, so none ends with a zero.
    """

    def pack(self, doc_id: str, chunk: Chunk, title: str, packed_metadata: bytes | None) -> bytes:
        """Pack a hit."""
        lengths = VARINTS
        key, place = doc_id.encode(), _chunk(chunk)
        more = b""
        if title:
            name = title.encode()
            more = b"%b%b%b" % (_TITLE, lengths[len(name)], name)
        if packed_metadata is not None:
            more = b"%b%b%b%b" % (more, _METADATA, lengths[len(packed_metadata)], packed_metadata)
        id_length, chunk_length = lengths[len(key)], lengths[len(place)]
        # Three tags, and the four bytes to come.
        size = 7 + len(id_length) + len(key) + len(chunk_length) + len(place) + len(more)
        return b"%b%b%b%b%b%b%b%b%b%b" % (
            _RESULTS, lengths[size], _DOC_ID, id_length, key, _CHUNK, chunk_length, place, more, _SCORE,
        )  # fmt: skip

    def unpack(self, packed: bytes) -> tuple[str, Chunk, str, bytes | None]:
        """Take a packed hit apart."""
        (hit,) = pb.QueryResponse.FromString(packed + bytes(4)).results
        chunk = hit.chunk
        start, end = (chunk.start, chunk.end) if chunk.HasField("start") else (None, None)
        metadata = hit.metadata.SerializeToString(deterministic=True) if hit.HasField("metadata") else None
        made = Chunk(chunk.ordinal, chunk.text, start, end, tuple(chunk.headings))
        return hit.doc_id, made, hit.title, metadata


def least_size(request: pb.QueryRequest, result: QueryResult) -> int:
    """Return how many bytes an answer takes at least: what is refused for its size need not be encoded.

    A character takes a byte or more, and a span four.
    """
    size = 0
    if isinstance(result.hits, PackedHits) and not request.metadata_keys:
        # A message leaves out an empty id, an empty chunk and a score of zero.
        return sum(len(packed) - EMPTY_FIELDS for packed in result.hits.packed)
    for hit in result.hits:
        size += len(hit.doc_id) + len(hit.title) + len(hit.chunk.text)
        if hit.packed_metadata is not None and not request.metadata_keys:
            size += len(hit.packed_metadata)
        if hit.chunk.vector is not None:
            size += hit.chunk.vector.nbytes
    return size + 4 * sum(map(len, result.highlights or ()))


@lru_cache
def _encode_plan(strategy: SearchStrategy, mode: SearchMode, matching_chunks: int | None) -> bytes:
    message = pb.QueryResponse()
    fill_plan(message.plan, strategy, mode, matching_chunks)
    return message.SerializeToString()


def encode_batch_result(answer: bytes) -> bytes:
    """Encode a QueryResponse, which is encoded already, as one result of a BatchQueryResponse."""
    response = b"%b%b%b" % (_BATCH_RESPONSE, VARINTS[len(answer)], answer)
    return b"%b%b%b" % (_BATCH_RESULTS, VARINTS[len(response)], response)


def encode_batch_problem(problem: types_pb2.Problem) -> bytes:
    """Encode what went wrong with one query as one result of a BatchQueryResponse."""
    return pb.BatchQueryResponse(results=[pb.BatchQueryResult(problem=problem)]).SerializeToString()


def encode_hits(hits: Iterable[Hit], projection: Projection, room: int) -> list[bytes] | None:
    """Encode hits without explanations, highlights and vectors as the field `results`, in pieces.

    None, as soon as they have more than `room` bytes.
    """
    pieces: list[bytes] = []
    lengths, projects = VARINTS, bool(projection.keys)
    for hit in hits:
        doc_id, chunk, title, packed, score = hit[:5]
        key, place = doc_id.encode(), _chunk(chunk)
        message = b"%b%b%b%b%b%b%b%b" % (
            _DOC_ID, lengths[len(key)], key, _SCORE, _float32(score), _CHUNK, lengths[len(place)], place,
        )  # fmt: skip
        if packed is not None:
            metadata = projection.of(packed) if projects else packed
            if metadata or not projects:
                message = b"%b%b%b%b" % (message, _METADATA, lengths[len(metadata)], metadata)
        if title:
            name = title.encode()
            message = b"%b%b%b%b" % (message, _TITLE, lengths[len(name)], name)
        pieces += (_RESULTS, lengths[len(message)], message)
        room -= len(message)
        if room < 0:
            return None
    return pieces


def _chunk(chunk: Chunk) -> bytes:
    lengths = VARINTS
    ordinal, text, start, end, headings, _ = chunk
    encoded = text.encode()
    message = b"%b%b%b" % (_TEXT, lengths[len(encoded)], encoded) if encoded else b""
    if ordinal:
        message = b"%b%b%b" % (message, _ORDINAL, lengths[ordinal])
    if start is not None and end is not None:
        message = b"%b%b%b%b%b" % (message, _START, lengths[start], _END, lengths[end])
    for each in headings:
        heading = each.encode()
        message = b"%b%b%b%b" % (message, _HEADINGS, lengths[len(heading)], heading)
    return message

"""Queries that differ in their vector alone, as most do that come after each other.

Checking a query and converting it takes some 20 µs. By vectors, the next query is nearly
always the one before with other numbers, in a batch and from call to call: the same bytes
before them and behind. What is the same need not be checked again, which leaves 4 µs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from rag_grpc.core.errors import RagError
from rag_grpc.core.models import Vector
from rag_grpc.core.queries import AlikeQueries, Query
from rag_grpc.rpc.convert_retrieval import query_from_proto
from rag_grpc.rpc.message_checks import finite
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import retrieval_service_pb2 as pb

PATTERN_BYTES = 4096
"""A query with more beside its vector is not remembered: it could be a megabyte of filter, kept for ever."""

_FLOAT32: Final = np.dtype("<f4")


class QueryReader:
    """Checks queries and converts them. Remembers the last one by vector, and knows others by it."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator
        self._pattern: _Pattern | None = None

    def read(self, message: pb.QueryRequest) -> Query | RagError:
        """Take a query, or say what is wrong with it."""
        pattern = self._pattern
        if pattern is not None:
            vector = pattern.vector_of(message)
            if vector is not None:
                return pattern.query._replace(vector=vector)
        problem = self._validator.error_of(message)
        if problem is not None:
            return problem
        query = query_from_proto(message, packed=True)
        size = message.ByteSize() - len(message.vector.packed)
        if message.vector.packed and size <= PATTERN_BYTES:
            self._pattern = _Pattern(message, query)
        return query

    def read_all(self, messages: Sequence[pb.QueryRequest]) -> Sequence[Query | RagError]:
        """Take the queries of a batch, or say of each what is wrong with it."""
        queries = [self.read(each) for each in messages[:1]]
        pattern = self._pattern
        if pattern is not None and len(messages) > 1:
            packed = pattern.packed_of_all(messages)
            if packed is not None:
                numbers = np.frombuffer(b"".join(packed), _FLOAT32).astype(np.float32, copy=False)
                if finite(numbers):
                    vectors = numbers.reshape(len(packed), -1)
                    return AlikeQueries(pattern.query._replace(vector=vectors[0]), vectors)
        queries += map(self.read, messages[1:])
        return queries


class _Pattern:
    """A query that was checked, as bytes with a gap where its vector's numbers are."""

    __slots__ = ("_after", "_before", "_length", "query")

    def __init__(self, message: pb.QueryRequest, query: Query) -> None:
        self.query = query
        packed = message.vector.packed
        encoded = message.SerializeToString(deterministic=True)
        start = encoded.find(packed)
        self._before = encoded[:start]
        self._after = encoded[start + len(packed) :]
        self._length = len(packed)

    def vector_of(self, message: pb.QueryRequest) -> Vector | None:
        """Return the numbers of a query that is the same beside them.

        None for any other, and where a number is not finite.
        """
        packed = self._packed_of(message)
        if packed is None:
            return None
        numbers = np.frombuffer(packed, _FLOAT32).astype(np.float32, copy=False)
        return numbers if finite(numbers) else None

    def packed_of_all(self, messages: Sequence[pb.QueryRequest]) -> list[bytes] | None:
        """Return the vectors of queries that are all the same beside them; None where one is not."""
        found: list[bytes] = []
        for message in messages:
            packed = self._packed_of(message)
            if packed is None:
                return None
            found.append(packed)
        return found

    def _packed_of(self, message: pb.QueryRequest) -> bytes | None:
        packed: bytes = message.vector.packed
        if len(packed) != self._length:
            return None
        # Put together and compared whole: a text may hold the same bytes as a vector, and then the gap was
        # cut where the text is.
        encoded = message.SerializeToString(deterministic=True)
        return packed if encoded == b"%b%b%b" % (self._before, packed, self._after) else None

"""Queries that differ in their vectors alone are taken as if each had been looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.errors import RagError
from rag_grpc.core.limits import Limits
from rag_grpc.core.queries import AlikeQueries, Query
from rag_grpc.rpc.convert_retrieval import query_from_proto
from rag_grpc.rpc.query_reader import PATTERN_BYTES, QueryReader
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import retrieval_service_pb2 as pb
from ragapi.v1.types_pb2 import Vector

VALIDATOR = Validator(Limits())

numbers = st.sampled_from([b"abcd", b"ABCD", b"\0\0\xc0\x7f", b"\0\0\0\0", b"12345678", b"odd"])
"""One of four bytes that is text too, one that is no number, one that is longer, one that is no vector."""
messages = st.builds(
    lambda packed, text, collection, top_k: pb.QueryRequest(
        vector=Vector(packed=packed), query=text, collection=collection, top_k=top_k
    ),
    numbers,
    st.sampled_from(["", "abcd", "ABCD"]),
    st.sampled_from(["", "abcd", "!"]),
    st.sampled_from([0, 7]),
)


def alone(message: pb.QueryRequest) -> Query | RagError:
    return VALIDATOR.error_of(message) or query_from_proto(message, packed=True)


def described(each: Query | RagError) -> Any:
    if isinstance(each, RagError):
        return type(each), each.message
    vector = None if each.vector is None else (each.vector.dtype, each.vector.tobytes())
    return each._replace(vector=None), vector


@given(st.lists(messages, max_size=5))
def test_each_query_is_what_it_would_be_alone(batch: list[pb.QueryRequest]) -> None:
    reader = QueryReader(VALIDATOR)
    taken = [reader.read(each) for each in batch]
    assert [described(each) for each in taken] == [described(alone(each)) for each in batch]


@given(st.lists(messages, max_size=5))
def test_a_batch_is_what_its_queries_would_be_alone(batch: list[pb.QueryRequest]) -> None:
    taken = QueryReader(VALIDATOR).read_all(batch)
    assert len(taken) == len(batch)
    assert [described(each) for each in taken] == [described(alone(each)) for each in batch]


@given(messages, st.lists(numbers, min_size=2, max_size=5))
def test_queries_that_differ_in_their_vectors_are_told_by_each(
    message: pb.QueryRequest, vectors: list[bytes]
) -> None:
    batch = [pb.QueryRequest() for _ in vectors]
    for each, packed in zip(batch, vectors, strict=True):
        each.CopyFrom(message)
        each.vector.packed = packed
    taken = QueryReader(VALIDATOR).read_all(batch)
    assert [described(each) for each in taken] == [described(alone(each)) for each in batch]


def test_a_batch_of_alike_queries_is_one_thing() -> None:
    taken = QueryReader(VALIDATOR).read_all(by_vectors(top_k=3))
    assert isinstance(taken, AlikeQueries)
    assert taken.vectors.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]
    assert taken.first.top_k == 3
    assert [described(each) for each in taken[1:3]] == [
        described(alone(each)) for each in by_vectors(top_k=3)[1:3]
    ]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """The messages that were looked at field by field."""
    looked: list[Message] = []
    error_of = VALIDATOR.error_of

    def look(message: Message) -> RagError | None:
        looked.append(message)
        return error_of(message)

    monkeypatch.setattr(VALIDATOR, "error_of", look)
    return looked


def by_vectors(**fields: Any) -> list[pb.QueryRequest]:
    rows = np.arange(12, dtype="<f4").reshape(4, 3) + 1
    return [pb.QueryRequest(vector=Vector(packed=row.tobytes()), **fields) for row in rows]


def test_what_is_the_same_is_checked_once(looked: list[Message]) -> None:
    reader, queries = QueryReader(VALIDATOR), by_vectors(top_k=3)
    taken = [reader.read(each) for each in queries]
    vectors = [each.vector for each in taken if isinstance(each, Query)]
    assert looked == queries[:1]
    assert [None if each is None else each.tolist() for each in vectors] == [
        [1, 2, 3],
        [4, 5, 6],
        [7, 8, 9],
        [10, 11, 12],
    ]


def test_a_long_query_is_not_remembered(looked: list[Message]) -> None:
    reader, queries = QueryReader(VALIDATOR), by_vectors(filter="a" * PATTERN_BYTES)
    assert all(isinstance(reader.read(each), Query) for each in queries)
    assert looked == queries

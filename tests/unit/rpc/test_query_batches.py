"""A batch whose queries differ in their vectors alone is taken as if each had been looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.errors import RagError
from rag_grpc.core.limits import Limits
from rag_grpc.core.queries import Query
from rag_grpc.rpc.convert_retrieval import query_from_proto
from rag_grpc.rpc.query_batches import queries_from_proto
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
    return VALIDATOR.error_of(message) or query_from_proto(message)


def described(each: Query | RagError) -> Any:
    if isinstance(each, RagError):
        return type(each), each.message
    vector = None if each.vector is None else (each.vector.dtype, each.vector.tobytes())
    return each._replace(vector=None), vector


@given(st.lists(messages, max_size=5))
def test_each_query_is_what_it_would_be_alone(batch: list[pb.QueryRequest]) -> None:
    taken = queries_from_proto(batch, VALIDATOR)
    assert [described(each) for each in taken] == [described(alone(each)) for each in batch]


def test_what_is_the_same_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    error_of = VALIDATOR.error_of

    def look(message: Message) -> RagError | None:
        looked.append(message)
        return error_of(message)

    monkeypatch.setattr(VALIDATOR, "error_of", look)
    rows = np.arange(12, dtype="<f4").reshape(4, 3) + 1
    batch = [pb.QueryRequest(vector=Vector(packed=row.tobytes()), top_k=3) for row in rows]
    vectors = [each.vector for each in queries_from_proto(batch, VALIDATOR) if isinstance(each, Query)]
    assert looked == batch[:1]
    assert [None if each is None else each.tolist() for each in vectors] == rows.tolist()

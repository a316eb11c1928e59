"""Bytes written directly are what protobuf would have written."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]  # the reference
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.models import Chunk
from rag_grpc.core.queries import QueryResult
from rag_grpc.core.searches import Hit, SearchMode, SearchStrategy
from rag_grpc.rpc.answer_encoding import (
    encode_answer,
    encode_batch_problem,
    encode_batch_result,
    varint,
)
from rag_grpc.rpc.convert import StructCodec
from rag_grpc.rpc.convert_retrieval import answer_to_proto
from ragapi.v1 import retrieval_service_pb2 as pb
from ragapi.v1 import types_pb2

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
offsets = st.none() | st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
chunks = st.builds(
    lambda ordinal, text, place, headings: Chunk(ordinal, text, *(place or (None, None)), tuple(headings)),
    st.integers(0, 2**32 - 1),
    texts | st.just("long " * 5000),
    offsets,
    st.lists(texts, max_size=3),
)
metadata = st.dictionaries(
    st.sampled_from(["lang", "year", "draft", "ключ"]), texts | st.booleans() | st.floats(-1e9, 1e9)
)
hits = st.builds(
    lambda doc_id, chunk, title, facts, score: Hit(
        doc_id, chunk, title, None if facts is None else StructCodec().pack(facts), score, score, 1
    ),
    texts,
    chunks,
    texts,
    st.none() | metadata,
    st.floats(width=32, allow_nan=False),
)
results = st.builds(
    QueryResult,
    st.lists(hits, max_size=4).map(tuple),
    st.sampled_from(SearchStrategy),
    st.just({"dense": 0.25}),
    st.sampled_from(SearchMode),
    st.none() | st.integers(0, 2**63),
)
requests = st.builds(
    lambda query, keys, explain: pb.QueryRequest(query=query, metadata_keys=keys, explain=explain),
    texts,
    st.lists(st.sampled_from(["lang", "draft", "nothing"]), unique=True),
    st.booleans(),
)


@given(requests, results)
def test_an_answer_is_what_the_message_says(request: pb.QueryRequest, result: QueryResult) -> None:
    assert pb.QueryResponse.FromString(encode_answer(request, result)) == answer_to_proto(request, result)


def test_vectors_come_along() -> None:
    chunk = Chunk(0, "text", None, None, (), np.array([1, 2], np.float32))
    result = QueryResult((Hit("a", chunk, "", None, 1.0),), SearchStrategy.EXACT, {}, SearchMode.DENSE, None)
    request = pb.QueryRequest(include_vectors=True)
    answer = pb.QueryResponse.FromString(encode_answer(request, result))
    assert np.frombuffer(answer.results[0].chunk.vector.packed, "<f4").tolist() == [1, 2]


@given(results)
def test_a_batch_is_put_together_from_its_results(result: QueryResult) -> None:
    answer = encode_answer(pb.QueryRequest(), result)
    problem = types_pb2.Problem(code=5, message="there is none")
    encoded = encode_batch_result(answer) + encode_batch_problem(problem)
    expected = pb.BatchQueryResponse()
    expected.results.add().response.CopyFrom(answer_to_proto(pb.QueryRequest(), result))
    expected.results.add().problem.CopyFrom(problem)
    assert pb.BatchQueryResponse.FromString(encoded) == expected


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 2**14 - 1, 2**14, 2**21, 2**32 - 1, 2**63])
def test_a_varint_is_protobufs(number: int) -> None:
    assert varint(number) == _VarintBytes(number)

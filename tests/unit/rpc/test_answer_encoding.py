"""Bytes written directly are what protobuf would have written."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]  # the reference
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.models import Chunk, TextSpan
from rag_grpc.core.queries import QueryResult
from rag_grpc.core.searches import Hit, PackedHits, SearchMode, SearchStrategy
from rag_grpc.rpc.answer_encoding import (
    FEW_HITS,
    VARINTS,
    WireHits,
    encode_answer,
    encode_batch_problem,
    encode_batch_result,
    least_size,
)
from rag_grpc.rpc.convert import StructCodec
from rag_grpc.rpc.convert_retrieval import answer_to_proto
from ragapi.v1 import retrieval_service_pb2 as pb
from ragapi.v1 import types_pb2

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
offsets = st.just((None, None)) | st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
chunks = st.builds(
    lambda ordinal, text, place, headings: Chunk(ordinal, text, place[0], place[1], tuple(headings)),
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
    highlights=st.none(),
)
requests = st.builds(
    lambda query, keys, explain: pb.QueryRequest(query=query, metadata_keys=keys, explain=explain),
    texts,
    st.lists(st.sampled_from(["lang", "draft", "nothing"]), unique=True),
    st.booleans(),
)


@given(requests, results)
def test_an_answer_is_what_the_message_says(request: pb.QueryRequest, result: QueryResult) -> None:
    assert pb.QueryResponse.FromString(bytes_of(request, result)) == answer_to_proto(request, result)


ROOM = 1 << 30


def bytes_of(request: pb.QueryRequest, result: QueryResult) -> bytes:
    answer = encode_answer(request, result, ROOM)
    assert answer is not None
    return answer


@given(requests, results, st.sampled_from([0, FEW_HITS]))
def test_an_answer_is_made_where_it_has_room(
    request: pb.QueryRequest, result: QueryResult, more: int
) -> None:
    result = result._replace(hits=(*result.hits, *(result.hits[0] for _ in range(more) if result.hits)))
    answer = bytes_of(request, result)
    assert encode_answer(request, result, len(answer)) == answer
    assert encode_answer(request, result, len(answer) - 1) is None


@given(requests, results)
def test_no_answer_is_smaller_than_its_least_size(request: pb.QueryRequest, result: QueryResult) -> None:
    assert least_size(request, result) <= len(bytes_of(request, result))


def test_the_least_size_counts_what_makes_answers_large() -> None:
    chunk = Chunk(0, "t" * 100, None, None, (), np.ones(50, np.float32))
    spans = [TextSpan(place, place + 1) for place in range(0, 90, 2)]
    facts = StructCodec().pack({"lang": "e" * 300})
    result = QueryResult(
        (Hit("a", chunk, "n" * 70, facts, 1.0),), SearchStrategy.EXACT, {}, SearchMode.DENSE, None, [spans]
    )
    request = pb.QueryRequest(include_vectors=True, highlight=True)
    size = len(bytes_of(request, result))
    assert 0.8 * size < least_size(request, result) <= size


def test_vectors_come_along() -> None:
    chunk = Chunk(0, "text", None, None, (), np.array([1, 2], np.float32))
    result = QueryResult((Hit("a", chunk, "", None, 1.0),), SearchStrategy.EXACT, {}, SearchMode.DENSE, None)
    request = pb.QueryRequest(include_vectors=True)
    answer = pb.QueryResponse.FromString(bytes_of(request, result))
    assert np.frombuffer(answer.results[0].chunk.vector.packed, "<f4").tolist() == [1, 2]


scores = st.lists(st.floats(width=32, allow_nan=False), max_size=FEW_HITS + 8)


@given(requests, st.lists(hits, min_size=1, max_size=3), scores)
def test_packed_hits_are_encoded_like_others(
    request: pb.QueryRequest, few: list[Hit], scores: list[float]
) -> None:
    made = [
        few[number % len(few)]._replace(score=score, dense=score, dense_rank=3 + number)
        for number, score in enumerate(scores)
    ]
    packed = PackedHits(
        [WireHits().pack(*hit[:4]) for hit in made], np.array(scores, np.float32), 3, WireHits().unpack
    )
    assert list(packed) == made
    assert packed[1:3] == made[1:3]
    result = QueryResult(packed, SearchStrategy.ANN, {}, SearchMode.DENSE)
    answer = bytes_of(request, result)
    assert pb.QueryResponse.FromString(answer) == answer_to_proto(request, result._replace(hits=made))
    assert encode_answer(request, result, len(answer)) == answer
    assert encode_answer(request, result, len(answer) - 1) is None


@given(hits)
def test_a_packed_hit_keeps_the_port_s_promises(hit: Hit) -> None:
    packed = WireHits().pack(*hit[:4])
    assert packed
    assert not packed.endswith(b"\0")
    assert WireHits().unpack(packed) == hit[:4]


@given(results)
def test_a_batch_is_put_together_from_its_results(result: QueryResult) -> None:
    answer = bytes_of(pb.QueryRequest(), result)
    problem = types_pb2.Problem(code=5, message="there is none")
    encoded = encode_batch_result(answer) + encode_batch_problem(problem)
    expected = pb.BatchQueryResponse()
    expected.results.add().response.CopyFrom(answer_to_proto(pb.QueryRequest(), result))
    expected.results.add().problem.CopyFrom(problem)
    assert pb.BatchQueryResponse.FromString(encoded) == expected


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 2**14 - 1, 2**14, 2**21, 2**32 - 1, 2**63])
def test_a_varint_is_protobufs(number: int) -> None:
    assert VARINTS[number] == _VarintBytes(number)

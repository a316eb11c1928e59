"""What goes in comes out: proto to models and back."""

from __future__ import annotations

import sys
from dataclasses import fields

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.errors import InvalidField, RagError, RevisionMismatch
from rag_grpc.core.limits import Limits
from rag_grpc.core.loop_steps import LoopSteps
from rag_grpc.core.models import (
    Chunk,
    Chunking,
    Collection,
    CollectionCounts,
    Document,
    IngestStatus,
    JsonValue,
    Metric,
    PutOutcome,
)
from rag_grpc.core.precedence import Precedence
from rag_grpc.core.queries import QueryResult
from rag_grpc.core.searches import Hit, SearchStrategy
from rag_grpc.rpc import convert, convert_collection, convert_ingestion, convert_retrieval
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import collection_service_pb2 as collection_pb
from ragapi.v1 import ingestion_service_pb2 as ingestion_pb
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb
from ragapi.v1.types_pb2 import Chunk as ChunkMessage
from ragapi.v1.types_pb2 import Document as DocumentMessage
from ragapi.v1.types_pb2 import Vector as VectorMessage

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
METADATA = st.dictionaries(TEXT, JSON.filter(lambda value: value is not None), max_size=6)
CODEC = convert.StructCodec()


@given(metadata=METADATA)
def test_metadata_unpacks_to_what_was_packed(metadata: dict[str, JsonValue]) -> None:
    assert CODEC.unpack(CODEC.pack(metadata)) == metadata


@given(metadata=METADATA)
def test_equal_metadata_packs_to_equal_bytes(metadata: dict[str, JsonValue]) -> None:
    turned = dict(reversed(metadata.items()))
    assert CODEC.pack(metadata) == CODEC.pack(turned)


def test_metadata_keeps_empty_lists_objects_and_integers() -> None:
    metadata: dict[str, JsonValue] = {"l": [], "o": {}, "n": 2**53, "nested": {"null": None}}
    assert CODEC.unpack(CODEC.pack(metadata)) == metadata
    assert CODEC.unpack(b"") == {}


def test_nulls_on_the_top_level_are_dropped_from_documents_and_kept_in_patches() -> None:
    struct = Struct()
    struct.update({"gone": None, "kept": {"inner": None}})
    assert convert.metadata_from_proto(struct) == {"kept": {"inner": None}}
    assert convert.struct_from_proto(struct) == {"gone": None, "kept": {"inner": None}}


@given(numbers=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_a_vector_comes_back_in_both_forms(numbers: list[float]) -> None:
    vector = np.array(numbers, np.float32)
    for message in (convert.vector_to_proto(vector), VectorMessage(values=numbers)):
        back = convert.vector_from_proto(message)
        assert back is not None
        assert back.dtype == np.float32
        assert back.flags.c_contiguous
        np.testing.assert_array_equal(back, vector)


def test_a_vector_is_packed_little_endian_from_any_layout() -> None:
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    assert convert.vector_to_proto(rows[:, 1]).packed == np.array([1, 3, 5, 7], "<f4").tobytes()
    assert convert.vector_from_proto(VectorMessage()) is None


@pytest.mark.skipif(sys.byteorder == "big", reason="there the numbers have to be turned round")
def test_a_packed_vector_is_not_copied() -> None:
    vector = convert.vector_from_proto(VectorMessage(packed=np.ones(4, "<f4").tobytes()))
    assert vector is not None
    assert vector.base is not None
    assert not vector.flags.writeable


@given(nanoseconds=st.integers(-(2**62), 2**62))
def test_a_time_comes_back_to_the_nanosecond(nanoseconds: int) -> None:
    timestamp = convert.time_to_proto(nanoseconds)
    assert 0 <= timestamp.nanos < 10**9
    assert convert.time_from_proto(timestamp) == nanoseconds


def test_a_draft_has_what_the_caller_sent_and_nothing_of_what_is_output_only() -> None:
    message = DocumentMessage(
        doc_id="d",
        text="héllo",
        media_type="text/markdown",
        title="T",
        chunks=[ChunkMessage(text="hé", start=0, end=2, ordinal=7), ChunkMessage(text="llo")],
        embedder_fingerprint="f",
        revision=9,
    )
    message.metadata.update({"n": 1, "gone": None})
    message.chunks[1].vector.packed = np.ones(2, "<f4").tobytes()
    draft = convert.draft_from_proto(message)
    assert (draft.doc_id, draft.text, draft.media_type, draft.title) == ("d", "héllo", "text/markdown", "T")
    assert draft.metadata == {"n": 1.0}
    assert [(chunk.text, chunk.start, chunk.end) for chunk in draft.chunks] == [
        ("hé", 0, 2),
        ("llo", None, None),
    ]
    assert draft.chunks[0].vector is None
    assert draft.chunks[1].vector is not None
    assert draft.embedder_fingerprint == "f"


def test_a_document_without_a_media_type_is_plain() -> None:
    draft = convert.draft_from_proto(DocumentMessage(doc_id="d", text="t"))
    assert (draft.media_type, draft.metadata, draft.chunks) == ("text/plain", {}, ())


DOCUMENT = Document(
    doc_id="d",
    text="t",
    media_type="text/plain",
    title="T",
    packed_metadata=CODEC.pack({"a": 1.0}),
    revision=3,
    content_hash=bytes(range(32)),
    chunk_count=2,
    create_time=1_700_000_000_000_000_001,
    update_time=1_700_000_000_000_000_002,
)


def test_a_stored_document_is_told_whole() -> None:
    message = convert.document_to_proto(DOCUMENT)
    assert message.content_hash == bytes(range(32)).hex()
    assert message.metadata["a"] == 1.0
    assert convert.time_from_proto(message.update_time) == DOCUMENT.update_time
    assert (message.revision, message.chunk_count) == (3, 2)


def test_a_document_that_was_read_can_be_sent_back() -> None:
    item = ingestion_pb.IngestItem(document=convert.document_to_proto(DOCUMENT))
    assert Validator(Limits()).error_of(item) is None
    assert convert.draft_from_proto(item.document).metadata == {"a": 1.0}


def test_a_chunk_has_offsets_only_where_it_has_a_place() -> None:
    placed = convert.chunk_to_proto(Chunk(0, "t", 0, 0, ("h", "i"), np.ones(2, np.float32)))
    assert placed.HasField("start")
    assert placed.HasField("end")
    assert list(placed.headings) == ["h", "i"]
    assert placed.vector.packed == np.ones(2, "<f4").tobytes()
    bare = convert.chunk_to_proto(Chunk(1, "t", None, None))
    assert not bare.HasField("start")
    assert not bare.HasField("vector")


# ---------------------------------------------------------------------------- ingestion


def test_expected_revision_0_is_not_unset() -> None:
    item = ingestion_pb.IngestItem(document=DocumentMessage(doc_id="d", text="t"))
    assert convert_ingestion.item_from_proto(item).expected_revision is None
    item.expected_revision = 0
    assert convert_ingestion.item_from_proto(item).expected_revision == 0
    assert convert_ingestion.ref_from_proto(ingestion_pb.DocumentRef(doc_id="d")).expected_revision is None
    ref = ingestion_pb.DocumentRef(doc_id="d", expected_revision=0)
    assert convert_ingestion.ref_from_proto(ref).expected_revision == 0


async def test_a_bad_item_becomes_its_error_and_the_others_stay() -> None:
    good = ingestion_pb.IngestItem(document=DocumentMessage(doc_id="d", text="t"))
    items = await convert_ingestion.items_from_proto(
        [ingestion_pb.IngestItem(), good], 10, Validator(Limits()), LoopSteps(Precedence())
    )
    assert isinstance(items[0], InvalidField)
    assert not isinstance(items[1], RagError)


def test_results_stand_in_the_order_of_the_request() -> None:
    response = ingestion_pb.BatchIngestDocumentsResponse()
    outcomes: list[PutOutcome | RagError] = [
        PutOutcome(IngestStatus.CREATED, 5, 2),
        RevisionMismatch("b", expected=1, current=2),
    ]
    convert_ingestion.add_results(response.results, ["a", "é" * 300], outcomes)
    stored, failed = response.results
    assert (stored.doc_id, stored.status, stored.revision, stored.chunk_count) == (
        "a",
        ingestion_pb.INGEST_STATUS_CREATED,
        5,
        2,
    )
    assert failed.status == ingestion_pb.INGEST_STATUS_FAILED
    assert failed.problem.metadata["current_revision"] == "2"
    assert len(failed.doc_id.encode()) <= 512


@pytest.mark.parametrize("status", list(IngestStatus))
def test_every_status_has_a_name_and_words(status: IngestStatus) -> None:
    response = convert_ingestion.document_response("d", PutOutcome(status, 1, 1))
    assert ingestion_pb.IngestStatus.Name(response.status) == f"INGEST_STATUS_{status.name}"
    assert response.message


# ---------------------------------------------------------------------------- retrieval


def hit(**parts: object) -> Hit:
    whole = {
        "doc_id": "d",
        "score": 0.5,
        "chunk": Chunk(0, "text", 0, 4, ("h",)),
        "title": "T",
        "packed_metadata": CODEC.pack({"a": 1.0, "b": "x"}),
        "dense": 0.5,
        "dense_rank": 1,
    }
    return Hit(**{**whole, **parts})  # type: ignore[arg-type]


RESULT = QueryResult((hit(),), SearchStrategy.EXACT, {"dense": 0.0015, "fetch": 1.25})


def test_a_query_has_the_contracts_defaults() -> None:
    query = convert_retrieval.query_from_proto(retrieval_pb.QueryRequest(query="q"))
    assert (query.text, query.top_k, query.offset, query.ef, query.exact) == ("q", 10, 0, 0, False)
    assert query.min_score is None
    assert (query.parts.text, query.parts.title, query.parts.metadata, query.parts.vectors) == (
        True,
        True,
        True,
        False,
    )


def test_a_query_takes_all_that_is_set() -> None:
    request = retrieval_pb.QueryRequest(
        collection="c",
        top_k=3,
        offset=4,
        ef=5,
        exact=True,
        min_score=0.0,
        include_vectors=True,
        omit=[retrieval_pb.HIT_FIELD_TEXT, retrieval_pb.HIT_FIELD_METADATA],
    )
    query = convert_retrieval.query_from_proto(request)
    assert (query.collection, query.top_k, query.offset, query.ef, query.exact, query.min_score) == (
        "c",
        3,
        4,
        5,
        True,
        0.0,
    )
    assert (query.parts.text, query.parts.title, query.parts.metadata, query.parts.vectors) == (
        False,
        True,
        False,
        True,
    )


def test_an_answer_shows_scores_and_stages_to_who_asks() -> None:
    plain = convert_retrieval.answer_to_proto(retrieval_pb.QueryRequest(query="q"), RESULT)
    assert (plain.query, plain.results[0].doc_id, plain.results[0].title) == ("q", "d", "T")
    assert plain.plan.strategy == retrieval_pb.SEARCH_STRATEGY_EXACT
    assert plain.plan.mode == retrieval_pb.SEARCH_MODE_DENSE
    assert not plain.results[0].HasField("parts")
    assert not plain.plan.stages
    explained = convert_retrieval.answer_to_proto(retrieval_pb.QueryRequest(query="q", explain=True), RESULT)
    assert explained.results[0].parts.dense == 0.5
    assert explained.results[0].parts.dense_rank == 1
    assert not explained.results[0].parts.HasField("lexical")
    assert explained.plan.stages["fetch"] == Duration(seconds=1, nanos=250_000_000)


def test_only_the_metadata_that_was_asked_for_comes_back() -> None:
    request = retrieval_pb.QueryRequest(query="q", metadata_keys=["b", "not there"])
    (found,) = convert_retrieval.answer_to_proto(request, RESULT).results
    assert convert.struct_from_proto(found.metadata) == {"b": "x"}
    without = QueryResult((hit(packed_metadata=None),), SearchStrategy.ANN, {})
    (found,) = convert_retrieval.answer_to_proto(retrieval_pb.QueryRequest(query="q"), without).results
    assert not found.HasField("metadata")


# ---------------------------------------------------------------------------- collections


@pytest.mark.parametrize("metric", list(Metric))
def test_a_collection_is_told_whole(metric: Metric) -> None:
    stored = Collection(
        id=1,
        uid="u",
        name="c",
        embedder="mock",
        embedder_fingerprint="f",
        dimension=384,
        metric=metric,
        chunking=Chunking(100, 20, 30, True),
        language="en",
        create_time=5_000_000_001,
    )
    message = convert_collection.collection_to_proto(stored, CollectionCounts(2, 7))
    assert collection_pb.Metric.Name(message.metric) == f"METRIC_{metric.name}"
    assert (message.document_count, message.chunk_count, message.uid) == (2, 7, "u")
    assert (message.create_time.seconds, message.create_time.nanos) == (5, 1)
    spec = convert_collection.spec_from_proto(message)
    assert (spec.name, spec.embedder, spec.dimension, spec.metric, spec.chunking, spec.language) == (
        "c",
        "mock",
        384,
        metric,
        stored.chunking,
        "en",
    )


def test_what_a_spec_leaves_open_stays_open() -> None:
    spec = convert_collection.spec_from_proto(collection_pb.Collection(name="c"))
    assert (spec.embedder, spec.dimension, spec.metric, spec.chunking, spec.language) == (
        "",
        0,
        None,
        None,
        "",
    )


def test_every_limit_is_told() -> None:
    limits = Limits()
    message = convert_collection.limits_to_proto(limits)
    assert {field.name for field in message.DESCRIPTOR.fields} == {field.name for field in fields(limits)}
    assert all(getattr(message, field.name) == getattr(limits, field.name) for field in fields(limits))

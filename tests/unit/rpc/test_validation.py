"""What the table cannot say of one field alone: vectors, metadata, and fields that depend on each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from rag_grpc.core.chunking import DEFAULT_MAX_CHARACTERS
from rag_grpc.core.errors import InvalidField, LimitExceeded
from rag_grpc.core.limits import Limits
from rag_grpc.rpc import validation
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.collection_service_pb2 import Chunking, Collection, CreateCollectionRequest
from ragapi.v1.types_pb2 import Chunk, Document, Vector

VALIDATOR = Validator(Limits())
ONES = Vector(packed=np.ones(4, "<f4").tobytes())
DENSE = retrieval.SEARCH_MODE_DENSE
LEXICAL = retrieval.SEARCH_MODE_LEXICAL
HYBRID = retrieval.SEARCH_MODE_HYBRID


def faults(message: Message) -> set[str]:
    error = VALIDATOR.error_of(message)
    return set() if error is None else {violation.field for violation in error.violations}


def item(**document: object) -> ingestion.IngestItem:
    return ingestion.IngestItem(document=Document(**{"doc_id": "d", **document}))  # type: ignore[arg-type]


# ---------------------------------------------------------------------------- vectors


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 2])
def test_a_number_that_is_not_finite_is_refused_in_both_forms(number: float, place: int) -> None:
    numbers = np.array([3e38, 3e38, 3e38], "<f4")
    numbers[place] = number
    packed = retrieval.QueryRequest(vector=Vector(packed=numbers.tobytes()))
    assert faults(packed) == {"vector.packed"}
    assert faults(retrieval.QueryRequest(vector=Vector(values=numbers.tolist()))) == {"vector.values"}


def test_large_finite_numbers_pass() -> None:
    vector = Vector(packed=np.full(384, 3e38, "<f4").tobytes())
    assert faults(retrieval.QueryRequest(vector=vector)) == set()


def test_a_vector_in_both_forms_is_refused() -> None:
    both = Vector(values=[1.0], packed=np.ones(1, "<f4").tobytes())
    assert faults(retrieval.QueryRequest(vector=both)) == {"vector"}


def test_packed_bytes_come_in_fours() -> None:
    assert faults(retrieval.QueryRequest(vector=Vector(packed=b"12345"))) == {"vector.packed"}


def test_a_vector_without_numbers_is_none() -> None:
    assert faults(retrieval.QueryRequest(vector=Vector())) == {"query"}
    assert faults(item(chunks=[Chunk(text="a", vector=Vector()), Chunk(text="b")])) == set()


# ---------------------------------------------------------------------------- documents


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000"])
def test_a_document_needs_text_or_chunks(text: str) -> None:
    assert faults(item(text=text)) == {"document.text"}
    assert faults(item(text=text, chunks=[Chunk(text="c")])) == set()


def test_all_chunks_have_a_vector_or_none_has() -> None:
    with_vector, without = Chunk(text="a", vector=ONES), Chunk(text="b")
    assert faults(item(chunks=[with_vector, without, without])) == {"document.chunks[1].vector"}
    assert faults(item(chunks=[with_vector, with_vector])) == set()
    assert faults(item(chunks=[without, without])) == set()


def test_a_fingerprint_goes_with_vectors() -> None:
    assert faults(item(text="t", embedder_fingerprint="f")) == {"document.embedder_fingerprint"}
    assert faults(item(chunks=[Chunk(text="a")], embedder_fingerprint="f")) == {
        "document.embedder_fingerprint"
    }
    assert faults(item(chunks=[Chunk(text="a", vector=ONES)], embedder_fingerprint="f")) == set()


def test_offsets_come_in_pairs_in_order_and_inside_the_text() -> None:
    assert faults(item(chunks=[Chunk(text="a", start=0)])) == {"document.chunks[0].end"}
    assert faults(item(chunks=[Chunk(text="a", end=1)])) == {"document.chunks[0].start"}
    assert faults(item(chunks=[Chunk(text="a", start=2, end=1)])) == {"document.chunks[0].start"}
    assert faults(item(text="abc", chunks=[Chunk(text="a", start=0, end=4)])) == {"document.chunks[0].end"}
    assert faults(item(text="abc", chunks=[Chunk(text="a", start=0, end=3)])) == set()
    assert faults(item(chunks=[Chunk(text="a", start=0, end=400)])) == set()


def test_output_only_fields_are_ignored() -> None:
    document = Document(doc_id="d", text="t", revision=7, content_hash="no hash", chunk_count=3)
    document.create_time.nanos = -5
    chunks = [Chunk(text="c", ordinal=9, headings=["", "h"])]
    assert faults(ingestion.IngestItem(document=document)) == set()
    assert faults(item(chunks=chunks)) == set()


def test_format_characters_may_stand_in_an_id_and_controls_may_not() -> None:
    assert faults(ingestion.UpdateMetadataRequest(doc_id="क्\u200dष")) == set()
    assert faults(ingestion.UpdateMetadataRequest(doc_id="a\x7f")) == {"doc_id"}
    assert faults(ingestion.UpdateMetadataRequest(doc_id="日" * 170)) == set()
    assert faults(ingestion.UpdateMetadataRequest(doc_id="日" * 171)) == {"doc_id"}


# ---------------------------------------------------------------------------- metadata


def with_metadata(**fields: Value) -> ingestion.IngestItem:
    message = item(text="t")
    for key, value in fields.items():
        message.document.metadata.fields[key].CopyFrom(value)
    return message


def nested(levels: int) -> Value:
    value = Value(string_value="leaf")
    for _ in range(levels):
        outer = Value()
        outer.struct_value.fields["k"].CopyFrom(value)
        value = outer
    return value


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_of_metadata_are_finite_on_every_level(number: float) -> None:
    bad = Value(number_value=number)
    assert faults(with_metadata(a=bad)) == {"document.metadata.a"}
    inside = Value()
    inside.list_value.values.add(number_value=1)
    inside.list_value.values.add().struct_value.fields["b"].CopyFrom(bad)
    assert faults(with_metadata(a=inside)) == {"document.metadata.a[1].b"}


def test_keys_are_1_to_128_bytes_on_every_level() -> None:
    good = Value(bool_value=True)
    assert faults(with_metadata(**{"é" * 64: good})) == set()
    assert faults(with_metadata(**{"é" * 65: good})) == {"document.metadata"}
    assert faults(with_metadata(**{"": good})) == {"document.metadata"}
    inner = Value()
    inner.struct_value.fields["k" * 129].CopyFrom(good)
    assert faults(with_metadata(a=inner)) == {"document.metadata.a"}


def test_metadata_nests_to_32_levels() -> None:
    assert faults(with_metadata(a=nested(31))) == set()
    assert len(faults(with_metadata(a=nested(32)))) == 1
    lists = Value()
    for _ in range(40):
        outer = Value()
        outer.list_value.values.add().CopyFrom(lists)
        lists = outer
    assert len(faults(with_metadata(a=lists))) == 1


def test_a_value_without_a_kind_is_refused_and_null_is_not() -> None:
    assert faults(with_metadata(a=Value())) == {"document.metadata.a"}
    assert faults(with_metadata(a=Value(null_value=0))) == set()  # type: ignore[arg-type]


def test_too_much_metadata_exceeds_a_limit() -> None:
    patch = Struct()
    patch.update({"a": "x" * (256 * 1024)})
    error = VALIDATOR.error_of(ingestion.UpdateMetadataRequest(doc_id="d", metadata=patch))
    assert isinstance(error, LimitExceeded)
    assert error.metadata["limit"] == "max_metadata_bytes"
    assert error.metadata["max_metadata_bytes"] == str(256 * 1024)


def test_too_much_metadata_is_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    walked: list[str] = []
    monkeypatch.setattr(validation, "check_metadata", lambda _metadata, path, _findings: walked.append(path))
    small, large = with_metadata(a=Value()), with_metadata(a=Value(string_value="x" * (256 * 1024)))
    for message in (small, large):
        VALIDATOR.error_of(message)
    assert walked == ["document.metadata"]


# ---------------------------------------------------------------------------- queries


def query(**fields: object) -> retrieval.QueryRequest:
    return retrieval.QueryRequest(**fields)  # type: ignore[arg-type]


FUSION = retrieval.Fusion()
MMR = retrieval.Rerank(mmr=retrieval.MaximalMarginalRelevance())
CROSS_ENCODER = retrieval.Rerank(cross_encoder=retrieval.CrossEncoder())

VALID_QUERIES = [
    query(query="q"),
    query(vector=ONES),
    query(query="q", mode=DENSE, ef=100),
    query(vector=ONES, mode=DENSE, exact=True, min_score=0.0, explain=True),
    query(query="q", top_k=1000),
    query(query="q", top_k=600, offset=400),
    query(query="q", omit=[retrieval.HIT_FIELD_TEXT], metadata_keys=["a"], include_vectors=True),
    query(query="q", mode=LEXICAL, highlight=True, max_hits_per_document=1, filter="a = 1"),
    query(query="q", mode=LEXICAL, rerank=MMR),
    query(query="q", rerank=CROSS_ENCODER),
    query(doc_id="d", rerank=MMR, ef=10),
    query(query="q", vector=ONES),
    query(query="q", vector=ONES, mode=HYBRID),
    query(query="q", vector=ONES, mode=DENSE, highlight=True),
    query(query="q", vector=ONES, mode=DENSE, rerank=MMR),
    query(query="q", fusion=FUSION),
    query(query="q", fusion=FUSION, mode=HYBRID),
    query(doc_id="d", mode=DENSE),
]
CONTRADICTIONS = [
    (query(), "query"),
    (query(mode=DENSE), "query"),
    (query(query="q", doc_id="d"), "doc_id"),
    (query(vector=ONES, doc_id="d"), "doc_id"),
    (query(query="q", mode=DENSE, fusion=FUSION), "fusion"),
    (query(query="q", mode=LEXICAL, fusion=FUSION), "fusion"),
    (query(query="q", mode=LEXICAL, ef=10), "ef"),
    (query(query="q", mode=LEXICAL, exact=True), "exact"),
    (query(query="q", mode=LEXICAL, vector=ONES), "vector"),
    (query(doc_id="d", mode=LEXICAL), "doc_id"),
    (query(doc_id="d", mode=HYBRID), "doc_id"),
    (query(vector=ONES, mode=LEXICAL), "query"),
    (query(vector=ONES, mode=HYBRID), "query"),
    (query(query="q", vector=ONES, mode=DENSE), "query"),
    (query(query="q", ef=10, exact=True), "ef"),
    (query(vector=ONES, highlight=True), "highlight"),
    (query(query="q", omit=[retrieval.HIT_FIELD_METADATA], metadata_keys=["a"]), "metadata_keys"),
    (query(query="q", rerank=retrieval.Rerank()), "rerank.method"),
    (query(vector=ONES, rerank=CROSS_ENCODER), "rerank.cross_encoder"),
    (query(doc_id="d", rerank=CROSS_ENCODER), "rerank.cross_encoder"),
    (query(vector=ONES, fusion=FUSION), "fusion"),
    (query(doc_id="d", fusion=FUSION), "fusion"),
]


@pytest.mark.parametrize("request_", VALID_QUERIES, ids=str)
def test_a_valid_query_passes(request_: retrieval.QueryRequest) -> None:
    assert VALIDATOR.error_of(request_) is None


@pytest.mark.parametrize(("request_", "field"), CONTRADICTIONS, ids=str)
def test_a_knob_that_the_mode_cannot_use_is_refused(request_: retrieval.QueryRequest, field: str) -> None:
    error = VALIDATOR.error_of(request_)
    assert isinstance(error, InvalidField)
    assert field in faults(request_)


def test_top_k_and_offset_share_a_limit() -> None:
    error = VALIDATOR.error_of(query(query="q", top_k=600, offset=401))
    assert isinstance(error, LimitExceeded)
    assert faults(query(query="q", offset=991)) == {"offset"}


# ---------------------------------------------------------------------------- the rest


def test_the_selector_of_a_deletion_is_exactly_one() -> None:
    ref = ingestion.DocumentRef(doc_id="d")
    both = ingestion.DeleteDocumentsRequest(documents=[ref], all=True)
    assert faults(ingestion.DeleteDocumentsRequest()) == {"documents", "filter", "all"}
    assert faults(both) == {"documents", "all"}
    assert isinstance(VALIDATOR.error_of(both), InvalidField)


def test_a_collection_without_embedder_says_its_dimension() -> None:
    request = CreateCollectionRequest(collection=Collection(name="c", embedder="none"))
    assert faults(request) == {"collection.dimension"}
    request.collection.dimension = 4
    assert faults(request) == set()


def test_the_overlap_is_less_than_half() -> None:
    request = CreateCollectionRequest(collection=Collection(name="c"))
    request.collection.chunking.CopyFrom(Chunking(max_characters=100, overlap_characters=50))
    assert faults(request) == {"collection.chunking.overlap_characters"}
    request.collection.chunking.overlap_characters = 49
    assert faults(request) == set()
    request.collection.chunking.CopyFrom(Chunking(overlap_characters=DEFAULT_MAX_CHARACTERS // 2))
    assert faults(request) == {"collection.chunking.overlap_characters"}
    request.collection.chunking.overlap_characters -= 1
    assert faults(request) == set()


def test_every_fault_is_named_at_once() -> None:
    request = ingestion.IngestDocumentRequest(collection="No!")
    request.document.doc_id = "x" * 513
    request.document.title = "x" * 1001
    request.document.text = "x" * 750_001
    request.document.metadata.fields["n"].number_value = math.nan
    error = VALIDATOR.error_of(request)
    assert isinstance(error, InvalidField)
    assert faults(request) == {
        "collection",
        "document.doc_id",
        "document.title",
        "document.text",
        "document.metadata.n",
    }


def test_items_of_a_batch_are_looked_at_alone() -> None:
    request = ingestion.BatchIngestDocumentsRequest(items=[ingestion.IngestItem()])
    assert faults(request) == set()
    assert faults(request.items[0]) == {"document"}


def test_a_list_that_is_too_long_is_not_walked() -> None:
    request = ingestion.DeleteDocumentsRequest(documents=[ingestion.DocumentRef()] * 10_001)
    assert faults(request) == {"documents"}


def test_check_raises_what_error_of_finds() -> None:
    with pytest.raises(InvalidField, match="doc_id: is required"):
        VALIDATOR.check(retrieval.GetDocumentRequest())
    VALIDATOR.check(retrieval.GetDocumentRequest(doc_id="d"))

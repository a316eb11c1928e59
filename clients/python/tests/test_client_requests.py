from __future__ import annotations

import struct
from typing import Any

import pytest

from rag_client import Chunk, Chunking, Document, DocumentRef, Fusion, IngestItem, Rerank, requests
from rag_client.messages import item_message, query_message
from ragapi.v1 import collection_service_pb2 as collection_pb
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb


def test_a_query_fills_every_field() -> None:
    message = query_message(
        {
            "query": "words",
            "collection": "c",
            "vector": [1.0, 2.0],
            "doc_id": "d",
            "top_k": 3,
            "offset": 4,
            "filter": "a = 1",
            "mode": "hybrid",
            "min_score": 0.0,
            "max_hits_per_document": 2,
            "fusion": Fusion(dense_weight=0.0, rank_constant=10),
            "rerank": Rerank("mmr", diversity=0.25, candidates=9),
            "ef": 50,
            "exact": True,
            "omit": ["text", "metadata"],
            "metadata_keys": ("k",),
            "include_vectors": True,
            "highlight": True,
            "explain": True,
        }
    )
    assert {field.name for field, _ in message.ListFields()} == set(message.DESCRIPTOR.fields_by_name)
    assert message.mode == retrieval_pb.SEARCH_MODE_HYBRID
    assert list(message.omit) == [retrieval_pb.HIT_FIELD_TEXT, retrieval_pb.HIT_FIELD_METADATA]
    assert message.vector.packed == struct.pack("<2f", 1, 2)
    assert message.fusion.HasField("dense_weight")
    assert message.rerank.mmr.diversity == 0.25


def test_what_is_not_given_is_not_set() -> None:
    assert query_message({"query": "words"}) == retrieval_pb.QueryRequest(query="words")
    assert not query_message({"rerank": Rerank("cross_encoder")}).rerank.cross_encoder.model
    request: Any = requests.create_collection(
        "c", embedder="", dimension=0, metric=None, chunking=None, language=""
    ).request
    assert request == collection_pb.CreateCollectionRequest(collection=collection_pb.Collection(name="c"))


def test_a_word_that_the_contract_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(ValueError, match="'fuzzy' is none of dense, lexical, hybrid"):
        query_message({"mode": "fuzzy"})  # type: ignore[typeddict-item]  # what a caller without types may do
    with pytest.raises(TypeError, match="no option 'topk'"):
        query_message({"topk": 3})  # type: ignore[typeddict-unknown-key]  # likewise


@pytest.mark.parametrize(
    "rerank",
    [Rerank("mmr", model="m"), Rerank("cross_encoder", diversity=0.5), Rerank("magic")],  # type: ignore[arg-type]  # likewise
)
def test_a_reranking_that_cannot_be_is_refused(rerank: Rerank) -> None:
    with pytest.raises(ValueError, match="'mmr', which takes a diversity, or 'cross_encoder'"):
        query_message({"rerank": rerank})


def test_a_collection_carries_its_configuration() -> None:
    request: Any = requests.create_collection(
        "c",
        embedder="none",
        dimension=8,
        metric="euclidean",
        chunking=Chunking(max_characters=500, overlap_characters=50, max_tokens=99, without_context=True),
        language="en",
    ).request
    made = request.collection
    assert (made.metric, made.dimension, made.embedder) == (collection_pb.METRIC_EUCLIDEAN, 8, "none")
    assert (made.chunking.max_characters, made.chunking.max_tokens) == (500, 99)
    assert made.chunking.without_context


def test_a_document_goes_with_chunks_vectors_and_a_condition() -> None:
    chunk = Chunk("piece", vector=[0.5], start=0, end=5)
    document = Document(
        "d", "piece", title="t", metadata={"year": 2020}, chunks=[chunk], embedder_fingerprint="f"
    )
    message = item_message(IngestItem(document, expected_revision=0))
    assert message.HasField("expected_revision")
    assert message.document.chunks[0].HasField("start")
    assert message.document.chunks[0].vector.packed == struct.pack("<f", 0.5)
    assert message.document.metadata["year"] == 2020
    assert message.document.embedder_fingerprint == "f"
    assert not item_message(document).HasField("expected_revision")


def test_what_the_server_sets_is_not_sent_back() -> None:
    read = Document("d", "text", revision=3, content_hash="h", chunk_count=2)
    assert item_message(read) == item_message(Document("d", "text"))


def test_documents_to_delete_are_ids_or_ids_on_a_condition() -> None:
    request: Any = requests.delete_documents(
        ["a", DocumentRef("b", 3)], collection="", filter="", all=False, validate_only=True
    ).request
    assert [each.doc_id for each in request.documents] == ["a", "b"]
    assert [each.HasField("expected_revision") for each in request.documents] == [False, True]

"""Lists that are too long are found in a request's bytes, by looking at no more of them than there may be."""

from __future__ import annotations

from typing import Any, SupportsIndex

import pytest
from google.protobuf.message import Message

from rag_grpc.core.errors import InvalidField, LimitExceeded
from rag_grpc.core.limits import Limits
from rag_grpc.rpc.interceptors.call import Method
from rag_grpc.rpc.item_counts import LEAST_PROBLEM, MOST_FIELDS, SMALL, ItemCounts
from rag_grpc.rpc.status import problem_of
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import evaluation_service_pb2 as evaluation
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval

LIMITS = Limits()
MANY = 8_000_000
UNKNOWN = b"\x7a\x00"


class Watched(bytes):
    """Counts the bytes that are looked at."""

    looks = 0

    def __getitem__(self, place: SupportsIndex | slice) -> Any:
        self.looks += 1
        return super().__getitem__(place)


def counts(service: str, name: str, *, streams: bool = False) -> ItemCounts:
    method = Method.named(f"ragapi.v1.{service}", name, request_streaming=streams, response_streaming=streams)
    return ItemCounts(method, LIMITS)


BATCH = counts("IngestionService", "BatchIngestDocuments")


def empty(message: type[Message], field: str) -> bytes:
    return bytes([message.DESCRIPTOR.fields_by_name[field].number << 3 | 2, 0])


ITEM = empty(ingestion.BatchIngestDocumentsRequest, "items")


@pytest.mark.parametrize(
    ("look", "item", "field", "bound", "limit"),
    [
        (BATCH, ITEM, "items", LIMITS.max_batch_documents, "max_batch_documents"),
        (
            counts("RetrievalService", "BatchQuery"),
            empty(retrieval.BatchQueryRequest, "queries"),
            "queries",
            LIMITS.max_batch_queries,
            "max_batch_queries",
        ),
        (
            counts("EvaluationService", "EvaluateFaithfulness"),
            empty(evaluation.EvaluateFaithfulnessRequest, "answers"),
            "answers",
            LIMITS.max_batch_queries,
            "max_batch_queries",
        ),
    ],
)
def test_no_more_items_are_looked_at_than_there_may_be(
    look: ItemCounts, item: bytes, field: str, bound: int, limit: str
) -> None:
    request = Watched(item * MANY)
    with pytest.raises(LimitExceeded) as caught:
        look.check(request)
    (violation,) = caught.value.violations
    assert (violation.field, caught.value.metadata["limit"]) == (field, limit)
    assert violation.description.startswith(f"has more than {bound} items, at most {bound}")
    assert request.looks <= 2 * (bound + 1)


def test_a_message_of_a_stream_is_left_to_be_answered_where_that_may_be() -> None:
    most, answerable = LIMITS.max_batch_documents, LIMITS.max_response_bytes // LEAST_PROBLEM
    look = counts("IngestionService", "StreamIngestDocuments", streams=True)
    look.check(UNKNOWN * SMALL + ITEM * answerable)
    request = Watched(ITEM * MANY)
    with pytest.raises(LimitExceeded, match=f"has more than {answerable} items, at most {most} "):
        look.check(request)
    assert request.looks <= 2 * (answerable + 1)


@pytest.mark.parametrize("collection", ["", "No!"])
def test_what_is_counted_out_of_a_stream_could_not_be_answered(collection: str) -> None:
    items = [ingestion.IngestItem()] * (LIMITS.max_batch_documents + 1)
    error = Validator(LIMITS).error_of(
        ingestion.StreamIngestDocumentsRequest(collection=collection, items=items)
    )
    assert error is not None
    assert problem_of(error).ByteSize() >= LEAST_PROBLEM


def test_a_list_whose_length_ends_a_stream_has_no_room_beyond_it() -> None:
    item = empty(evaluation.EvaluateRetrievalRequest, "queries")
    with pytest.raises(InvalidField, match="has more than 1000 items, at most 1000"):
        counts("EvaluationService", "EvaluateRetrieval", streams=True).check(item * MANY)


def test_a_bound_that_is_no_limit_of_the_server_is_a_rule() -> None:
    item = empty(ingestion.DeleteDocumentsRequest, "documents")
    with pytest.raises(InvalidField) as caught:
        counts("IngestionService", "DeleteDocuments").check(item * MANY)
    assert caught.value.violations[0].field == "documents"


@pytest.mark.parametrize(
    "before",
    [
        b"",
        UNKNOWN,
        b"\x0a\x01c",  # the collection
        b"\x78\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x79" + bytes(8),
        b"\x7d" + bytes(4),
        b"\x7b" + ITEM + b"\x7c",
        b"\xfa\x80\x00\x80\x00",  # longer than it need be
    ],
)
def test_items_are_counted_between_fields_of_any_kind(before: bytes) -> None:
    room = LIMITS.max_batch_documents
    full = before + ITEM * (room - 1) + UNKNOWN * SMALL + before + ITEM
    assert len(ingestion.BatchIngestDocumentsRequest.FromString(full).items) == room
    BATCH.check(full)
    with pytest.raises(LimitExceeded):
        BATCH.check(full + ITEM)


def test_fields_that_nobody_knows_do_not_hide_items() -> None:
    request = Watched(UNKNOWN * MANY + ITEM * MANY)
    with pytest.raises(InvalidField, match="request"):
        BATCH.check(request)
    assert request.looks <= 2 * (MOST_FIELDS + 1)


def test_what_is_within_an_item_is_jumped_over() -> None:
    item = ingestion.BatchIngestDocumentsRequest()
    for _ in range(100):
        item.items.add().document.text = ITEM.decode() * SMALL
    request = Watched(item.SerializeToString())
    BATCH.check(request)
    assert request.looks <= 100 * 5


@pytest.mark.parametrize(
    "end", [b"\x12", b"\x12\xff", b"\x80" * 100, b"\x7e", b"\xff" * SMALL, b"\x12\xff\xff\xff\xff\x7f"]
)
def test_what_is_no_message_is_left_to_the_decoder(end: bytes) -> None:
    BATCH.check(UNKNOWN * SMALL + end)


def test_small_requests_are_not_looked_at() -> None:
    request = Watched(ITEM * (SMALL // len(ITEM)))
    BATCH.check(request)
    assert request.looks == 0

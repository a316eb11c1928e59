"""Any request that decodes is refused with a reason or converts: nothing else ever comes out."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.errors import InvalidField, LimitExceeded, NotConfigured
from rag_grpc.core.limits import Limits
from rag_grpc.core.models import ChunkDraft
from rag_grpc.rpc.convert import StructCodec, struct_from_proto
from rag_grpc.rpc.convert_collection import spec_from_proto
from rag_grpc.rpc.convert_ingestion import item_from_proto
from rag_grpc.rpc.convert_retrieval import query_from_proto
from rag_grpc.rpc.field_rules import RULES
from rag_grpc.rpc.plain_items import plain_items
from rag_grpc.rpc.status import problem_of, rich_status
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import collection_service_pb2 as collection_pb
from ragapi.v1 import ingestion_service_pb2 as ingestion_pb
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb

LIMITS = Limits(max_document_characters=40, max_query_characters=10, max_metadata_bytes=60, max_top_k=20)
VALIDATOR = Validator(LIMITS)
TEXTS = st.sampled_from(
    ["", " ", "a", "default", "none", "text/plain", "a\0", "No!", "é" * 300, "x" * 50]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
WHOLE = st.sampled_from([0, 1, 2, 19, 21, 2**31, 2**32 - 1])
REAL = st.sampled_from([0.0, -0.0, 0.5, 1.0, -1.0, 1e30, math.nan, math.inf])
VALUES: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: TEXTS,
    FieldDescriptor.TYPE_BYTES: st.sampled_from([b"", b"abc", b"\0\0\x80?", b"\0\0\xc0\x7f"]),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_UINT32: WHOLE,
    FieldDescriptor.TYPE_UINT64: WHOLE | st.just(2**64 - 1),
    FieldDescriptor.TYPE_INT32: st.sampled_from([0, -1, 2**31 - 1]),
    FieldDescriptor.TYPE_INT64: st.sampled_from([0, -1, 2**63 - 1]),
    FieldDescriptor.TYPE_FLOAT: REAL,
    FieldDescriptor.TYPE_DOUBLE: REAL,
    FieldDescriptor.TYPE_ENUM: st.sampled_from([0, 1, 2, 3, 4, 99, -1]),
}


# Values that most rules allow, so that many requests are valid and conversion is reached.
TAME: dict[int, st.SearchStrategy[Any]] = {
    **VALUES,
    FieldDescriptor.TYPE_STRING: st.sampled_from(["aa", "default", "none"]),
    FieldDescriptor.TYPE_BYTES: st.just(b"\0\0\x80?"),
    FieldDescriptor.TYPE_UINT32: st.just(2),
    FieldDescriptor.TYPE_FLOAT: st.just(0.5),
    FieldDescriptor.TYPE_DOUBLE: st.just(0.5),
    FieldDescriptor.TYPE_ENUM: st.just(1),
}
LEFT_OUT = {"media_type", "embedder_fingerprint", "values", "exact", "chunking", "page_token"}


def messages(descriptor: Any, *, tame: bool, depth: int = 0) -> st.SearchStrategy[Message]:
    """Make any message of a type, or a tame one; metadata and the like to a few levels."""
    kind = GetMessageClass(descriptor)

    @st.composite
    def made(draw: st.DrawFn) -> Message:
        message = kind()
        for field in descriptor.fields:
            rule = RULES.get(field.full_name)
            if tame and field.name in LEFT_OUT:
                continue
            certain = tame and rule is not None and rule.required
            if depth < 6 and (certain or draw(st.integers(0, 2))):
                put(draw, message, field, tame=tame, depth=depth)
        return message

    return made()


def put(draw: st.DrawFn, message: Message, field: Any, *, tame: bool, depth: int) -> None:
    values = TAME if tame else VALUES
    nested = field.message_type
    if nested is not None and nested.GetOptions().map_entry:
        target, value = getattr(message, field.name), nested.fields_by_name["value"]
        key = draw(TEXTS)
        if value.message_type is None:
            target[key] = draw(values[value.type])
        else:
            target[key].CopyFrom(draw(messages(value.message_type, tame=tame, depth=depth + 1)))
    elif field.is_repeated:
        one = values[field.type] if nested is None else messages(nested, tame=tame, depth=depth + 1)
        getattr(message, field.name).extend(draw(st.lists(one, max_size=2)))
    elif nested is not None:
        getattr(message, field.name).CopyFrom(draw(messages(nested, tame=tame, depth=depth + 1)))
    else:
        setattr(message, field.name, draw(values[field.type]))


def converted(message: Message) -> None:
    """Convert a message as its servicer would."""
    if isinstance(message, ingestion_pb.IngestItem):
        draft = item_from_proto(message).document
        codec = StructCodec()
        assert codec.unpack(codec.pack(draft.metadata)) == draft.metadata
    elif isinstance(message, retrieval_pb.QueryRequest):
        query = query_from_proto(message)
        assert query.doc_id or query.text or query.vector is not None
        assert 1 <= query.top_k <= LIMITS.max_top_k
    elif isinstance(message, collection_pb.CreateCollectionRequest):
        assert spec_from_proto(message.collection).name
    elif isinstance(message, ingestion_pb.UpdateMetadataRequest):
        struct_from_proto(message.metadata)


@pytest.mark.parametrize("tame", [False, True], ids=["wild", "tame"])
@pytest.mark.parametrize(
    "kind",
    [
        ingestion_pb.IngestItem,
        retrieval_pb.QueryRequest,
        collection_pb.CreateCollectionRequest,
        ingestion_pb.UpdateMetadataRequest,
        ingestion_pb.DeleteDocumentsRequest,
        retrieval_pb.ListChunksRequest,
    ],
)
@given(data=st.data())
def test_a_request_is_refused_with_a_reason_or_converts(
    kind: type[Message], tame: bool, data: st.DataObject
) -> None:
    message = data.draw(messages(kind.DESCRIPTOR, tame=tame))
    error = VALIDATOR.error_of(message)
    if error is None:
        converted(message)
    else:
        assert isinstance(error, InvalidField | LimitExceeded | NotConfigured)
        assert error.violations
        assert all(each.field and each.description for each in error.violations)
        assert problem_of(error).ByteSize() < 4000
        assert rich_status(error).details


@pytest.mark.parametrize("tame", [False, True], ids=["wild", "tame"])
@given(data=st.data())
def test_what_is_plainly_in_order_is_so_by_the_rules(tame: bool, data: st.DataObject) -> None:
    message = data.draw(messages(ingestion_pb.IngestItem.DESCRIPTOR, tame=tame))
    assert isinstance(message, ingestion_pb.IngestItem)
    same = ingestion_pb.IngestItem.FromString(message.SerializeToString())
    (plain,) = plain_items([same], LIMITS)
    if plain is None:
        return
    assert VALIDATOR.error_of(message) is None
    expected = item_from_proto(message)
    draft, wanted = plain.document, expected.document
    assert draft.packed_metadata == StructCodec().pack(wanted.metadata)
    assert plain.expected_revision == expected.expected_revision
    assert [_comparable(each) for each in draft.chunks] == [_comparable(each) for each in wanted.chunks]
    assert draft._replace(chunks=(), packed_metadata=None) == wanted._replace(chunks=())


def _comparable(chunk: ChunkDraft) -> tuple[object, ...]:
    return (*chunk[:3], None if chunk.vector is None else chunk.vector.tolist())


@given(received=st.binary(max_size=60))
def test_bytes_that_decode_are_refused_or_convert(received: bytes) -> None:
    for kind in (ingestion_pb.IngestItem, retrieval_pb.QueryRequest):
        try:
            message = kind.FromString(received)
        except DecodeError:
            continue
        if VALIDATOR.error_of(message) is None:
            converted(message)

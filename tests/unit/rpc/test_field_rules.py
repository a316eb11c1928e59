"""Every rule of the table refuses what it should: values are made from the table itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from rag_grpc.core.errors import InvalidField, LimitExceeded
from rag_grpc.core.limits import Limits
from rag_grpc.rpc.field_rules import RULES, Rule
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import collection_service_pb2 as collection
from ragapi.v1 import evaluation_service_pb2 as evaluation
from ragapi.v1 import generation_service_pb2 as generation
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.types_pb2 import Chunk, Document

LIMITS = Limits()
VALIDATOR = Validator(LIMITS)
DOCUMENT = Document(doc_id="d", text="hello")
QUESTION = generation.AnswerOptions(retrieval=retrieval.QueryRequest(query="why?"))

# A valid instance of each message that a call or an item of a batch is.
VALID: list[Message] = [
    ingestion.IngestDocumentRequest(document=DOCUMENT),
    ingestion.IngestItem(document=DOCUMENT),
    ingestion.BatchIngestDocumentsRequest(items=[ingestion.IngestItem()]),
    ingestion.StreamIngestDocumentsRequest(items=[ingestion.IngestItem()]),
    ingestion.UpdateMetadataRequest(doc_id="d"),
    ingestion.DeleteDocumentsRequest(all=True),
    ingestion.DeleteDocumentsRequest(documents=[ingestion.DocumentRef(doc_id="d")]),
    retrieval.QueryRequest(query="hello"),
    retrieval.BatchQueryRequest(queries=[retrieval.QueryRequest()]),
    retrieval.GetDocumentRequest(doc_id="d"),
    retrieval.BatchGetDocumentsRequest(doc_ids=["d"]),
    retrieval.CountDocumentsRequest(),
    retrieval.ListChunksRequest(doc_id="d"),
    retrieval.ListDocumentsRequest(),
    collection.CreateCollectionRequest(collection=collection.Collection(name="c")),
    collection.GetCollectionRequest(),
    collection.ListCollectionsRequest(),
    collection.ReembedCollectionRequest(name="c", embedder="mock"),
    collection.DeleteCollectionRequest(name="c"),
    generation.GenerateAnswerRequest(options=QUESTION),
    generation.StreamAnswerRequest(options=QUESTION),
    evaluation.EvaluateRetrievalRequest(),
    evaluation.EvaluateFaithfulnessRequest(
        answers=[evaluation.AnswerWithContext(answer="because", contexts=["it is"])]
    ),
    evaluation.MeasureIndexRecallRequest(),
]
# What a list of messages gets as its first item, so that the fields of items are reached.
PARTS = {
    "ragapi.v1.Chunk": Chunk(text="hello"),
    "ragapi.v1.DocumentRef": ingestion.DocumentRef(doc_id="d"),
    "ragapi.v1.LabelledQuery": evaluation.LabelledQuery(query_id="q", text="why?", relevance={"d": 1}),
    "ragapi.v1.AnswerWithContext": evaluation.AnswerWithContext(answer="because", contexts=["it is"]),
}


class Break(NamedTuple):
    """A request at fault, and what should be said of it."""

    request: Message
    path: str
    error: type[Exception]
    what: str


def bad_values(field: FieldDescriptor, rule: Rule) -> Iterator[tuple[str, Any, type[Exception]]]:
    """Make values that break `rule` in one way each."""
    if field.type == FieldDescriptor.TYPE_STRING:
        yield from bad_texts(rule)
    elif field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        yield from (("nan", math.nan, InvalidField), ("inf", math.inf, InvalidField))
        yield from bad_numbers(rule, step=0.5)
    elif field.type == FieldDescriptor.TYPE_ENUM:
        yield "unknown", 99, InvalidField
        if rule.specified:
            yield "unspecified", 0, InvalidField
    elif field.type in (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64):
        yield from bad_numbers(rule, step=1)


def bad_texts(rule: Rule) -> Iterator[tuple[str, Any, type[Exception]]]:
    if rule.max_bytes is not None:
        yield "bytes", "ü" * (rule.max_bytes // 2 + 1), InvalidField
    if rule.max_bytes_limit:
        yield rule.max_bytes_limit, "x" * (getattr(LIMITS, rule.max_bytes_limit) + 1), LimitExceeded
    if rule.max_characters is not None:
        yield "characters", "ü" * (rule.max_characters + 1), InvalidField
    if rule.max_characters_limit:
        yield rule.max_characters_limit, "x" * (getattr(LIMITS, rule.max_characters_limit) + 1), LimitExceeded
    if rule.pattern or rule.choices:
        yield "pattern", "No!", InvalidField
        yield "line", "a\n", InvalidField
    if rule.no_control_characters:
        yield "nul", "a\0b", InvalidField
        yield "c1", "a\x85b", InvalidField
    if rule.not_blank:
        yield "blank", " \t\u2003", InvalidField
    if rule.page_token:
        yield "token", "AAAA", InvalidField


def bad_numbers(rule: Rule, step: float) -> Iterator[tuple[str, Any, type[Exception]]]:
    if rule.min_value is not None and rule.min_value > step:
        yield "low", type(step)(rule.min_value - step), InvalidField
    if rule.max_value is not None:
        yield "high", type(step)(rule.max_value + step), InvalidField
    if rule.max_value_limit:
        yield rule.max_value_limit, getattr(LIMITS, rule.max_value_limit) + 1, LimitExceeded


def breaks(root: Message, message: Message, prefix: str = "") -> Iterator[Break]:
    """Break each field of `message`, a part of `root`, in every way that the table knows."""
    for field in message.DESCRIPTOR.fields:
        rule = RULES[field.full_name]
        # Metadata and vectors have rules of their own: see test_validation.py.
        if rule.output_only or rule.metadata or message.DESCRIPTOR.name == "Vector":
            continue
        yield from field_breaks(root, message, field, prefix + field.name)


def field_breaks(root: Message, message: Message, field: Any, path: str) -> Iterator[Break]:
    rule = RULES[field.full_name]
    before = type(message).FromString(message.SerializeToString())

    def broken(what: str, error: type[Exception], where: str = path) -> Break:
        made = Break(type(root).FromString(root.SerializeToString()), where, error, what)
        message.CopyFrom(before)
        return made

    if rule.required:
        message.ClearField(field.name)
        yield broken("missing", InvalidField)
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    if field.is_repeated and not is_map:
        yield from list_breaks(message, field, rule, path, broken)
    elif field.message_type is None:
        for what, value, error in bad_values(field, rule):
            setattr(message, field.name, value)
            yield broken(what, error)
    elif not is_map:
        getattr(message, field.name).SetInParent()
        yield from breaks(root, getattr(message, field.name), path + ".")
        message.CopyFrom(before)


def list_breaks(
    message: Message, field: FieldDescriptor, rule: Rule, path: str, broken: Any
) -> Iterator[Break]:
    def values() -> Any:
        return getattr(message, field.name)  # anew each time: a restored message has another list

    if field.message_type is None:
        bad = list(bad_values(field, rule))
        if field.type == FieldDescriptor.TYPE_STRING:
            bad.append(("empty item", "", InvalidField))
        for what, value, error in bad:
            values().append(value)
            yield broken(what, error, f"{path}[{len(values()) - 1}]")
    if rule.max_items is not None or rule.max_items_limit:
        bound = rule.max_items or getattr(LIMITS, rule.max_items_limit)
        items = [{FieldDescriptor.TYPE_STRING: "x"}.get(field.type, 1)] * (bound + 1)
        if field.message_type is None:
            values().extend(items)
        else:
            values().extend(GetMessageClass(field.message_type)() for _ in items)
        yield broken("items", LimitExceeded if rule.max_items_limit else InvalidField)


def item_breaks(root: Message) -> Iterator[Break]:
    """Break the fields of messages in lists, which stand in `PARTS`."""
    for field in root.DESCRIPTOR.fields:
        part = PARTS.get(field.message_type.full_name) if field.message_type is not None else None
        if part is not None and field.is_repeated:
            copy = type(root).FromString(root.SerializeToString())
            copy.ClearField(field.name)
            getattr(copy, field.name).add().CopyFrom(part)
            yield from breaks(copy, getattr(copy, field.name)[0], f"{field.name}[0].")
        elif field.message_type is not None and not field.is_repeated and root.HasField(field.name):
            inner = getattr(root, field.name)
            for each in item_breaks(inner):
                copy = type(root).FromString(root.SerializeToString())
                getattr(copy, field.name).CopyFrom(each.request)
                yield Break(copy, f"{field.name}.{each.path}", each.error, each.what)


ALL = [each for root in VALID for each in (*breaks(root, root), *item_breaks(root))]


def name(case: Break) -> str:
    return f"{case.request.DESCRIPTOR.name}.{case.path}-{case.what}"


@pytest.mark.parametrize("request_", VALID, ids=lambda request: str(request.DESCRIPTOR.name))
def test_the_valid_requests_are_valid(request_: Message) -> None:
    assert VALIDATOR.error_of(request_) is None


@pytest.mark.parametrize("case", ALL, ids=name)
def test_a_broken_field_is_named(case: Break) -> None:
    error = VALIDATOR.error_of(case.request)
    assert error is not None
    assert case.path in {violation.field for violation in error.violations}
    # A limit is named beside what else is wrong, and then the reason is that of a broken rule.
    alone = len(error.violations) == 1
    assert isinstance(error, case.error if alone else (case.error, InvalidField))


def test_most_rules_were_broken() -> None:
    assert len(ALL) > 250


def test_a_broken_rule_outweighs_a_limit() -> None:
    request = retrieval.QueryRequest(query="q", top_k=5000)
    assert isinstance(VALIDATOR.error_of(request), LimitExceeded)
    request.collection = "No!"
    error = VALIDATOR.error_of(request)
    assert isinstance(error, InvalidField)
    assert {violation.field for violation in error.violations} == {"collection", "top_k"}

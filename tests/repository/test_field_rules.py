"""The table of field rules covers every field of every request, and docs/fields.md is what it says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from rag_grpc.core.limits import Limits
from rag_grpc.rpc.field_rules import MESSAGE_RULES, RULES, Rule
from rag_grpc.rpc.message_checks import CHECKS
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import (
    collection_service_pb2,
    evaluation_service_pb2,
    generation_service_pb2,
    health_service_pb2,
    ingestion_service_pb2,
    retrieval_service_pb2,
)

ROOT = Path(__file__).resolve().parents[2]
FILES = (
    collection_service_pb2,
    evaluation_service_pb2,
    generation_service_pb2,
    health_service_pb2,
    ingestion_service_pb2,
    retrieval_service_pb2,
)


def request_fields() -> dict[str, FieldDescriptor]:
    """Walk every request of every service, and all messages of ours below it."""
    found: dict[str, FieldDescriptor] = {}

    def walk(descriptor: Descriptor) -> None:
        for field in descriptor.fields:
            if field.full_name in found:
                continue
            found[field.full_name] = field
            message = field.message_type
            if message is not None and message.file.package == "ragapi.v1" and not is_map(message):
                walk(message)

    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                walk(method.input_type)
    return found


def is_map(message: Descriptor) -> bool:
    return message.GetOptions().map_entry


def document_fields() -> ModuleType:
    spec = importlib.util.spec_from_file_location("document_fields", ROOT / "tools/document_fields.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_field_of_a_request_has_a_row_and_every_row_a_field() -> None:
    assert request_fields().keys() == RULES.keys()


def test_message_rules_are_of_messages_and_name_checks_that_exist() -> None:
    messages = {name.rpartition(".")[0] for name in request_fields()}
    assert set(MESSAGE_RULES) <= messages
    assert {rule.check for rule in MESSAGE_RULES.values()} == set(CHECKS)


@pytest.mark.parametrize("name", sorted(RULES))
def test_fields_that_the_contract_calls_required_or_output_only_have_such_rules(name: str) -> None:
    comment = comments().get(name, "")
    rule = RULES[name]
    if comment.startswith("Output only."):
        assert rule.output_only
    else:
        assert not rule.output_only
    if comment.startswith(("Required.", "Required:")):
        assert rule.required
    if comment.startswith("Optional"):
        assert not rule.required


def comments() -> dict[str, str]:
    """Read each field's leading comment from the protos; the stubs' descriptors have none."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "proto/ragapi/v1").glob("*.proto")):
        message, comment = "", []
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.strip()
            if words.startswith("message "):
                message = words.split()[1]
            if words.startswith("//"):
                comment.append(words.removeprefix("//").strip())
                continue
            if " = " in words and words.endswith(";") and message:
                field = words.split(" = ")[0].split()[-1]
                found.setdefault(f"ragapi.v1.{message}.{field}", " ".join(comment))
            comment = []
    return found


def test_the_comments_were_found() -> None:
    assert comments()["ragapi.v1.Document.doc_id"].startswith("Required. Chosen by the caller")
    assert RULES.keys() <= comments().keys()


def test_a_limit_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no limit 'max_cats'"):
        Rule(max_items_limit="max_cats")


def test_every_request_compiles() -> None:
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                Validator(Limits()).error_of(GetMessageClass(method.input_type)())


def test_the_page_is_what_the_table_says() -> None:
    assert (ROOT / "docs/fields.md").read_text(encoding="utf-8") == document_fields().page()

"""What the page may ask, and how it is told what is wrong."""

import json
from typing import Any

import pytest

from rag_grpc.core.errors import InvalidField
from rag_grpc.core.limits import Limits
from rag_grpc.core.queries import CrossEncoding
from rag_grpc.core.searches import SearchMode
from rag_grpc.sidecar.questions import question_of


def ask(**fields: Any) -> Any:
    return question_of(json.dumps({"query": "who?", **fields}).encode(), Limits())


def faults(body: bytes) -> dict[str, str]:
    with pytest.raises(InvalidField) as caught:
        question_of(body, Limits())
    return {each.field: each.description for each in caught.value.violations}


def test_a_bare_question_has_the_defaults() -> None:
    query = ask().query
    assert (query.text, query.collection, query.mode, query.rerank) == ("who?", "", None, None)
    assert query.highlight


def test_every_field_reaches_the_query() -> None:
    question = ask(
        collection="a", mode="hybrid", top_k=3, filter='lang = "en"', reranker="marco", generator="writer"
    )
    query = question.query
    assert (query.collection, query.mode, query.top_k) == ("a", SearchMode.HYBRID, 3)
    assert (query.filter, query.rerank) == ('lang = "en"', CrossEncoding("marco"))
    assert question.generator == "writer"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b'{"query": "\\ud800"}', b"\xff", b"[" * 100_000, b'{"query": NaN}']
)
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    assert list(faults(body)) == ["body"]


@pytest.mark.parametrize("body", [b"[]", b"1", b'"who?"', b"null"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    assert faults(body) == {"body": "must be an object"}


def test_every_fault_is_named_at_once() -> None:
    body = {"query": " ", "mode": "best", "top_k": 0, "filter": 3, "reranker": [], "collection": None, "x": 1}
    found = faults(json.dumps(body).encode())
    assert list(found) == ["query", "collection", "top_k", "filter", "mode", "reranker", "x"]
    assert found["x"] == "means nothing here"
    assert found["mode"] == "must be one of auto, dense, lexical, hybrid"


@pytest.mark.parametrize("value", [0, 51, -1, 1.5, True, "5", None])
def test_hits_are_a_whole_number_within_bounds(value: Any) -> None:
    assert list(faults(json.dumps({"query": "who?", "top_k": value}).encode())) == ["top_k"]


def test_texts_have_bounds() -> None:
    limits = Limits(max_query_characters=4, max_filter_bytes=4)
    question_of('{"query": "wïë?", "filter": "a=1"}'.encode(), limits)
    with pytest.raises(InvalidField) as caught:
        question_of('{"query": "where", "filter": "ï=ï"}'.encode(), limits)
    assert [each.field for each in caught.value.violations] == ["query", "filter"]

"""Templates and cutoffs that contradict themselves, or ask for what nobody would see."""

from __future__ import annotations

from typing import Any

import pytest

from rag_grpc.core.limits import Limits
from rag_grpc.rpc.validation import Validator
from ragapi.v1 import retrieval_service_pb2 as retrieval
from ragapi.v1.evaluation_service_pb2 import EvaluateRetrievalRequest, LabelledQuery
from ragapi.v1.types_pb2 import Vector

LEXICAL, HYBRID = retrieval.SEARCH_MODE_LEXICAL, retrieval.SEARCH_MODE_HYBRID


def broken(cutoffs: tuple[int, ...] = (), **template: Any) -> set[str]:
    request = EvaluateRetrievalRequest(template=retrieval.QueryRequest(**template), cutoffs=cutoffs)
    error = Validator(Limits()).error_of(request)
    return set() if error is None else {each.field for each in error.violations}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("query", "why?"),
        ("vector", Vector(values=[1.0])),
        ("doc_id", "d"),
        ("offset", 1),
        ("omit", [retrieval.HIT_FIELD_TEXT]),
        ("metadata_keys", ["lang"]),
        ("include_vectors", True),
        ("highlight", True),
        ("explain", True),
    ],
)
def test_what_would_have_no_effect_is_refused(name: str, value: Any) -> None:
    assert broken(**{name: value}) == {f"template.{name}"}


@pytest.mark.parametrize(
    "template",
    [
        {},
        {"collection": "c", "filter": "a = 1", "min_score": 0.5, "max_hits_per_document": 1},
        {"mode": LEXICAL},
        {"mode": HYBRID, "fusion": retrieval.Fusion(dense_weight=0.5), "ef": 50},
        {"exact": True, "top_k": 100},
        {"rerank": retrieval.Rerank(cross_encoder=retrieval.CrossEncoder()), "top_k": 1000},
    ],
)
def test_what_a_query_with_a_text_may_have_may_be_there(template: dict[str, Any]) -> None:
    assert broken(**template) == set()


def test_a_query_sees_no_less_than_the_largest_cutoff() -> None:
    assert broken(top_k=99) == {"template.top_k"}
    assert broken((1, 20), top_k=19) == {"template.top_k"}
    assert broken((1, 20), top_k=20) == set()


def test_hits_are_counted_by_document() -> None:
    assert broken(max_hits_per_document=2) == {"template.max_hits_per_document"}


def test_knobs_that_the_mode_cannot_use_are_refused_as_in_a_query() -> None:
    assert broken(mode=LEXICAL, ef=5, exact=True) == {"template.ef", "template.exact"}


def test_a_flood_of_queries_or_labels_is_refused_without_looking_at_each() -> None:
    many = EvaluateRetrievalRequest(queries=[LabelledQuery()] * 1001)
    error = Validator(Limits()).error_of(many)
    assert error is not None
    assert [each.field for each in error.violations] == ["queries"]
    labels = {str(number): 1 for number in range(10_001)}
    query = LabelledQuery(query_id="q", text="why?", relevance=labels)
    error = Validator(Limits()).error_of(EvaluateRetrievalRequest(queries=[query]))
    assert error is not None
    assert [each.field for each in error.violations] == ["queries[0].relevance"]


def test_cutoffs_are_told_apart() -> None:
    assert broken((5, 1, 5, 5)) == {"cutoffs[2]"}
    assert broken((0,)) == {"cutoffs[0]"}
    assert broken((1001,)) == {"cutoffs[0]"}

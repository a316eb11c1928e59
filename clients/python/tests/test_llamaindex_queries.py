"""LlamaIndex's filters and queries: what each becomes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from rag_client import Field, Fusion, Rerank
from rag_client.integrations.llamaindex.filters import filter_text
from rag_client.integrations.llamaindex.searches import asked
from rag_client.messages import query_message


def one(key: str, operator: FilterOperator, value: Any = None) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])


def two(condition: FilterCondition) -> MetadataFilters:
    return MetadataFilters(
        filters=[MetadataFilter(key="a", value=1), MetadataFilter(key="b", value="x")], condition=condition
    )


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        (None, ""),
        ("", ""),
        (MetadataFilters(filters=[]), ""),
        ("a = 1", "a = 1"),
        (Field("a") == 1, "a = 1"),
        (one("lang", FilterOperator.EQ, "en"), 'lang = "en"'),
        (one("a.b", FilterOperator.EQ, 1), '"a.b" = 1'),
        (one("doc_id", FilterOperator.EQ, "x"), 'metadata.doc_id = "x"'),
        (one("year", FilterOperator.NE, 1), "NOT year = 1"),
        (one("year", FilterOperator.GT, 1), "year > 1"),
        (one("year", FilterOperator.GTE, 1.5), "year >= 1.5"),
        (one("year", FilterOperator.LT, 1), "year < 1"),
        (one("year", FilterOperator.LTE, 1), "year <= 1"),
        (one("lang", FilterOperator.IN, ["en", "de"]), 'lang = "en" OR lang = "de"'),
        (one("lang", FilterOperator.NIN, ["en", "de"]), 'NOT (lang = "en" OR lang = "de")'),
        (one("tags", FilterOperator.CONTAINS, "x"), 'tags:"x"'),
        (one("tags", FilterOperator.ANY, ["x", "y"]), 'tags:"x" OR tags:"y"'),
        (one("tags", FilterOperator.ALL, ["x", "y"]), 'tags:"x" AND tags:"y"'),
        (one("tags", FilterOperator.IS_EMPTY), 'NOT tags:* OR tags = ""'),
        (two(FilterCondition.AND), 'a = 1 AND b = "x"'),
        (two(FilterCondition.OR), 'a = 1 OR b = "x"'),
        (two(FilterCondition.NOT), 'NOT (a = 1 OR b = "x")'),
        (
            MetadataFilters(filters=[two(FilterCondition.OR), two(FilterCondition.AND)]),
            '(a = 1 OR b = "x") AND a = 1 AND b = "x"',
        ),
    ],
)
def test_metadata_filters_become_a_filter(filters: Any, text: str) -> None:
    assert filter_text(filters) == text


def test_ids_are_asked_for_beside_the_filter() -> None:
    filters = one("a", FilterOperator.EQ, 1)
    assert filter_text(filters, node_ids=["n"], ref_doc_ids=["d", "e"]) == (
        'a = 1 AND doc_id = "n" AND (ref_doc_id = "d" OR ref_doc_id = "e")'
    )
    assert filter_text(None, node_ids=[]) not in ("", filter_text(None))


@pytest.mark.parametrize(
    ("filters", "complaint"),
    [
        (one("a", FilterOperator.TEXT_MATCH, "x"), "no filter TEXT_MATCH; there are =="),
        (one("a", FilterOperator.EQ, None), "use IS_EMPTY"),
        (one("a", FilterOperator.EQ, ["x"]), "EQ of a takes one value"),
        (one("a", FilterOperator.IN, "xyz"), "IN of a takes a list"),
        ({"a": 1}, "MetadataFilters or a text, not a dict"),
    ],
)
def test_what_no_filter_says_is_refused(filters: Any, complaint: str) -> None:
    with pytest.raises((ValueError, TypeError), match=complaint):
        filter_text(filters)


MODES = VectorStoreQueryMode


def question(mode: VectorStoreQueryMode, **fields: Any) -> VectorStoreQuery:
    whole = {"query_str": "why?", "query_embedding": [1.0], "similarity_top_k": 3, **fields}
    return VectorStoreQuery(mode=mode, **whole)


@pytest.mark.parametrize(
    ("query", "server_embeds", "fields"),
    [
        (question(MODES.DEFAULT), True, {"query": "why?"}),
        (question(MODES.DEFAULT), False, {"vector": [1.0], "mode": "dense"}),
        (question(MODES.SPARSE), False, {"query": "why?", "mode": "lexical"}),
        (question(MODES.TEXT_SEARCH), True, {"query": "why?", "mode": "lexical"}),
        (question(MODES.HYBRID), True, {"query": "why?", "mode": "hybrid", "fusion": None}),
        (
            question(MODES.HYBRID, alpha=0.0, hybrid_top_k=7),
            False,
            {"query": "why?", "vector": [1.0], "mode": "hybrid", "fusion": Fusion(0.0), "top_k": 7},
        ),
        (question(MODES.MMR), True, {"query": "why?", "rerank": Rerank("mmr")}),
        (
            question(MODES.MMR, mmr_threshold=0.75),
            False,
            {"vector": [1.0], "mode": "dense", "rerank": Rerank("mmr", diversity=0.25)},
        ),
    ],
)
def test_a_query_becomes_the_servers(
    query: VectorStoreQuery, server_embeds: bool, fields: dict[str, Any]
) -> None:
    found = asked(query, {}, server_embeds=server_embeds)
    assert found == {"top_k": 3, "filter": "", **fields}
    assert query_message(found).top_k


def test_ids_bound_a_query_and_empty_lists_do_not() -> None:
    query = question(MODES.DEFAULT, node_ids=["n"], doc_ids=["d"])
    assert asked(query, {}, server_embeds=True)["filter"] == 'doc_id = "n" AND ref_doc_id = "d"'
    query = question(MODES.DEFAULT, node_ids=[], doc_ids=[])
    assert asked(query, {}, server_embeds=True)["filter"] == ""


def test_options_of_the_client_and_of_mmr_are_taken_and_win() -> None:
    options = {"ef": 200, "mmr_threshold": 1.0, "mmr_prefetch_k": 50, "explain": True}
    found = asked(question(MODES.MMR, mmr_threshold=0.1), options, server_embeds=True)
    assert (found["ef"], found["explain"]) == (200, True)
    assert found["rerank"] == Rerank("mmr", diversity=0.0, candidates=50)
    assert options["mmr_threshold"] == 1.0


@pytest.mark.parametrize(
    ("query", "server_embeds", "complaint"),
    [
        (question(MODES.SVM), True, "no mode SVM; there are DEFAULT, MMR, SPARSE"),
        (question(MODES.DEFAULT, query_embedding=None), False, "needs its embedding"),
        (question(MODES.HYBRID, query_embedding=None), False, "needs its embedding"),
        (question(MODES.DEFAULT, query_str=None), True, "needs its text"),
        (question(MODES.SPARSE, query_str=""), False, "needs its text"),
    ],
)
def test_a_query_that_lacks_something_is_refused(
    query: VectorStoreQuery, server_embeds: bool, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        asked(query, {}, server_embeds=server_embeds)

"""LangChain's filter dicts: what each becomes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from rag_client import Field
from rag_client.integrations.langchain.filters import filter_text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, ""),
        ({}, ""),
        ("a = 1", "a = 1"),
        (Field("a") == 1, "a = 1"),
        ({"lang": "en"}, 'lang = "en"'),
        ({"lang": 'say "x" OR y = 1'}, 'lang = "say \\"x\\" OR y = 1"'),
        ({"lang": "en", "draft": False}, 'lang = "en" AND draft = false'),
        ({"author.name": "me"}, 'author.name = "me"'),
        ({"two words": 1}, '"two words" = 1'),
        ({"doc_id": "a"}, 'metadata.doc_id = "a"'),
        ({"year": {"$gte": 2020, "$lt": 2024.5}}, "year >= 2020 AND year < 2024.5"),
        ({"year": {"$gt": 1, "$lte": 3}}, "year > 1 AND year <= 3"),
        ({"year": {"$between": [1, 3]}}, "year >= 1 AND year <= 3"),
        ({"lang": {"$eq": "en"}}, 'lang = "en"'),
        ({"lang": {"$ne": "en"}}, 'NOT lang = "en"'),
        ({"lang": {"$in": ["en", "de"]}}, 'lang = "en" OR lang = "de"'),
        ({"lang": {"$in": ["en", "de"]}, "a": 1}, '(lang = "en" OR lang = "de") AND a = 1'),
        ({"lang": {"$nin": ["en", "de"]}}, 'NOT (lang = "en" OR lang = "de")'),
        ({"lang": {"$not": {"$eq": "en"}}}, 'NOT lang = "en"'),
        ({"tags": {"$contains": "rag"}}, 'tags:"rag"'),
        ({"tags": {"$exists": True}}, "tags:*"),
        ({"tags": {"$exists": False}}, "NOT tags:*"),
        ({"tags": None}, "NOT tags:*"),
        ({"tags": {"$ne": None}}, "tags:*"),
        ({"$or": [{"a": 1}, {"b": 2, "c": 3}]}, "a = 1 OR (b = 2 AND c = 3)"),
        ({"$and": [{"a": 1}, {"$or": [{"b": 2}, {"c": 3}]}]}, "a = 1 AND (b = 2 OR c = 3)"),
        ({"$not": {"a": 1, "b": 2}}, "NOT (a = 1 AND b = 2)"),
    ],
)
def test_a_dict_becomes_a_filter(given: Any, text: str) -> None:
    assert filter_text(given) == text


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"$nor": [{"a": 1}]}, r"no \$nor; there are \$and, \$or and \$not"),
        ({"a": {"$like": "x%"}}, r"no \$like; there are \$eq, .*\$exists and \$not"),
        ({"a": {"b": 1}}, "no b; there are"),
        ({"a": ["x"]}, r"cannot be compared with a list: say .*\$in"),
        ({"a": {"$in": "text"}}, r"\$in takes a list"),
        ({"$or": {"a": 1}}, r"\$or takes a list"),
        ({"a": {"$between": [1]}}, r"\$between takes the lower and the upper bound"),
        ({"a": object()}, "not with <object"),
        (["a = 1"], "a text or a dict, not a list"),
    ],
)
def test_what_no_filter_says_is_refused(given: Any, complaint: str) -> None:
    with pytest.raises((ValueError, TypeError), match=complaint):
        filter_text(given)


def test_of_nothing_nothing_is() -> None:
    nothing = filter_text({"a": {"$in": []}})
    assert nothing == filter_text({"$or": []})
    assert nothing not in ("", filter_text({"$and": []}))

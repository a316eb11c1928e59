"""Merge patches, by the examples of RFC 7396, appendix A, that concern objects."""

from __future__ import annotations

import copy

import pytest

from rag_grpc.core.metadata import merge_patch, patched, without_nulls
from rag_grpc.core.models import MetadataDict


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1.0]}, {"a": [1.0]}),
        ({"e": None}, {"a": 1.0}, {"e": None, "a": 1.0}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "text"}, {"a": {"b": None, "c": 1.0}}, {"a": {"c": 1.0}}),
    ],
)
def test_patches_of_the_rfc(target: MetadataDict, patch: MetadataDict, result: MetadataDict) -> None:
    before = copy.deepcopy((target, patch))
    assert merge_patch(target, patch) == result
    assert (target, patch) == before


def test_replacing_keeps_nested_nulls_alone() -> None:
    assert without_nulls({"a": None, "b": {"c": None}, "d": [None]}) == {"b": {"c": None}, "d": [None]}
    assert patched({"old": 1.0}, {"a": None, "b": {"c": None}}, replace=True) == {"b": {"c": None}}
    assert patched({"old": 1.0}, {"a": None, "b": {"c": None}}, replace=False) == {"old": 1.0, "b": {}}

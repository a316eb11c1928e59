"""What a filter means: the contract, sentence by sentence, and what this service decided beside it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.filter_language import parse
from rag_grpc.core.filters import Facts, Filter, Not, compare, instant_of, matches, timestamp
from rag_grpc.core.models import MetadataDict
from tests.contracts import filter_cases

FACTS = Facts(
    "doc/1",
    "",
    1_577_836_800_000_000_000,
    1_577_836_800_500_000_001,
    {
        "lang": "en",
        "year": 2020.0,
        "zero": -0.0,
        "draft": True,
        "final": False,
        "tags": ["a", 1.0, True, ["nested"], {"k": "v"}, None, "2020-01-01T00:00:00Z"],
        "none": [],
        "author": {"name": "me", "gone": None, "deep": {"n": 1.0}},
        "when": "2020-01-01T02:00:00+02:00",
        "title": "in the metadata",
        "a.b": "dotted",
        "metadata": {"x": 1.0},
    },
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('lang = "en"', True),
        ('lang = "EN"', False),
        ('lang != "de"', True),
        ('lang != "en"', False),
        ('missing = "x"', False),
        ('missing != "x"', False),
        ("missing < 1", False),
        ("missing:*", False),
        ("NOT missing:*", True),
        ('NOT missing = "x"', True),
        ('NOT missing != "x"', True),
        ("year = 2020", True),
        ("year >= 2020 AND year <= 2020", True),
        ("year > 2019.999", True),
        ("year < 2020", False),
        # Nothing is converted: a value of another type is unequal, and neither less nor more.
        ('year = "2020"', False),
        ('year != "2020"', True),
        ('year < "3"', False),
        ('year >= "3"', False),
        ("lang < 1", False),
        ("lang > 1", False),
        ("draft = 1", False),
        ("draft != 1", True),
        ("zero = 0", True),
        ("draft = true", True),
        ("draft != true", False),
        ("draft != false", True),
        ("draft:true", True),
        ("draft > 0", False),
        ("year = true", False),
        # Strings compare by code point, but two RFC 3339 timestamps by time.
        ('lang > "Z"', True),
        ('lang < "f"', True),
        ('when = "2020-01-01T00:00:00Z"', True),
        ('when != "2019-12-31T19:00:00.000-05:00"', False),
        ('when < "2020-01-01T00:00:00.000000000001Z"', True),
        ('when >= "2020-01-01T00:00:00z"', True),
        ('when < "2020-01-01T03"', True),
        ('when = "2020-01-01T02:00"', False),
        # Lists and objects know `:` alone.
        ('tags:"a"', True),
        ("tags:1", True),
        ("tags:true", True),
        ('tags:"2020-01-01T01:00:00+01:00"', True),
        ('tags:"nested"', False),
        ('tags:"v"', False),
        ('tags = "a"', False),
        ('tags != "zzz"', False),
        ("tags > 0", False),
        ("tags:*", True),
        ("none:*", True),
        ('none:"a"', False),
        ("author:*", True),
        ('author = "me"', False),
        ('author != "you"', False),
        ('author:"me"', False),
        ('lang:"en"', True),
        # Names.
        ('author.name = "me"', True),
        ("author.deep.n = 1", True),
        ("lang.name:*", False),
        ("tags.k:*", False),
        ("author.gone:*", False),
        ('"a.b" = "dotted"', True),
        ("a.b:*", False),
        ('title = ""', True),
        ("title:*", True),
        ('metadata.title = "in the metadata"', True),
        ("metadata.x:*", False),
        ("metadata.metadata.x = 1", True),
        ('doc_id = "doc/1"', True),
        ('doc_id:"doc/1"', True),
        ('create_time = "2020-01-01T00:00:00Z"', True),
        ('create_time = "2020-01-01T01:00:00+01:00"', True),
        ('update_time > "2020-01-01T00:00:00.5Z"', True),
        ('update_time < "2020-01-01T00:00:00.500000002Z"', True),
        ('create_time >= "2020-01-01"', True),
        ('create_time < "2020-01-02"', True),
        ("create_time > 5", False),
        ("create_time != 5", True),
        ("create_time:*", True),
        # AND, OR, NOT.
        ('lang = "en" OR missing:*', True),
        ('lang = "en" AND missing:*', False),
        ('NOT lang = "en" OR year = 2020', True),
        ('NOT (lang = "en" OR year = 2020)', False),
        ("NOT NOT year:*", True),
    ],
)
def test_a_filter_means(text: str, expected: bool) -> None:
    tree = parse(text)
    assert tree is not None
    assert matches(tree, FACTS) is expected


@given(filter_cases.filters, filter_cases.metadata)
def test_not_turns_any_filter_round(tree: Filter, metadata: MetadataDict) -> None:
    facts = FACTS._replace(metadata=metadata)
    assert matches(Not(tree), facts) is not matches(tree, facts)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", (0, "")),
        ("1970-01-01t00:00:01.2500z", (1, "25")),
        ("1969-12-31T23:59:59.5Z", (-1, "5")),
        ("1970-01-01T00:00:00+00:30", (-1800, "")),
        ("0000-02-29T00:00:00Z", (-62162121600, "")),
        ("9999-12-31T23:59:59Z", (253402300799, "")),
        ("2016-12-31T23:59:60Z", (1483228800, "")),
        ("2017-01-01T00:59:60+01:00", (1483228800, "")),
        ("2016-12-31T23:58:60Z", None),
        ("2021-02-29T00:00:00Z", None),
        ("2020-01-01T24:00:00Z", None),
        ("2020-01-01T00:60:00Z", None),
        ("2020-01-01T00:00:00+24:00", None),
        ("2020-01-01T00:00:00", None),
        ("2020-01-01 00:00:00Z", None),
        ("2020-01-01T00:00:00.Z", None),
        ("2020-01-01", None),
        ("\u0662020-01-01T00:00:00Z", None),
        ("2020-01-01T00:00:00Z\n", None),
        ("", None),
    ],
)
def test_a_timestamp_is_a_moment(text: str, instant: tuple[int, str] | None) -> None:
    assert instant_of(text) == instant


@given(st.integers(-62_135_596_800_000_000_000, 253_402_300_799_999_999_999))
def test_a_document_s_time_is_the_timestamp_of_its_moment(nanoseconds: int) -> None:
    instant = instant_of(timestamp(nanoseconds))
    assert instant is not None
    seconds, decimals = instant
    assert seconds * 10**9 + int(decimals.ljust(9, "0")) == nanoseconds


@given(st.lists(st.integers(-(10**18), 10**18), min_size=2, max_size=2))
def test_the_texts_of_moments_sort_as_they_do(moments: list[int]) -> None:
    earlier, later = sorted(moments)
    assert timestamp(earlier) <= timestamp(later)


@given(filter_cases.scalars, filter_cases.scalars)
def test_comparing_is_the_same_from_both_sides(one: str | float, other: str | float) -> None:
    forth, back = compare(one, other), compare(other, one)
    assert (forth is None) == (back is None)
    assert forth is None or back is None or forth == -back

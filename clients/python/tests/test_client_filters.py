"""Filters made of Python values: what they say, what is refused, and that the server reads them so."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_client import Condition, Field, requests
from rag_client.filters import CREATE_TIME, DOC_ID, TITLE, UPDATE_TIME, all_of, any_of
from rag_client.messages import query_message
from rag_grpc.core import filters as core
from rag_grpc.core.filter_language import parse

YEAR, TAGS = Field("year"), Field("tags")


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (YEAR == 2020, "year = 2020"),
        (YEAR != 2020.5, "year != 2020.5"),
        (YEAR < -1, "year < -1"),
        (2020 <= YEAR, "year >= 2020"),  # noqa: SIM300 - a number in front works as well
        (np.float32(1.5) < YEAR, "year > 1.5"),
        (np.int64(7) <= YEAR, "year >= 7"),
        (YEAR == 1e300, "year = 1e+300"),
        (YEAR == True, "year = true"),  # noqa: E712 - it is what is tested
        (YEAR != False, "year != false"),  # noqa: E712 - likewise
        (TAGS.contains("a"), 'tags:"a"'),
        (TAGS.exists(), "tags:*"),
        (~TAGS.exists(), "NOT tags:*"),
        (~~TAGS.exists(), "NOT NOT tags:*"),
        (TAGS.is_in(["a", 1]), 'tags = "a" OR tags = 1'),
        (TAGS.is_in(["a"]), 'tags = "a"'),
        (TAGS.is_in([]), 'doc_id = ""'),
        (Field("author", "name") == "me", 'author.name = "me"'),
        (Field("author.name") == "me", '"author.name" = "me"'),
        (Field("OR") == "x", '"OR" = "x"'),
        (Field("größe").exists(), '"größe":*'),
        (Field("title") == "x", 'metadata.title = "x"'),
        (Field("metadata") == "x", 'metadata.metadata = "x"'),
        (TITLE == 'say "hi"\\\n', 'title = "say \\"hi\\"\\\\\\n"'),
        (Field("colour") == Colour.RED, 'colour = "red"'),
        (
            datetime(2026, 1, 2, 3, 4, 5, 6, UTC) < CREATE_TIME,
            'create_time > "2026-01-02T03:04:05.000006+00:00"',
        ),
        (
            datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))) >= UPDATE_TIME,
            'update_time <= "2026-01-01T22:00:00+00:00"',
        ),
        (Field("day") >= date(2026, 1, 2), 'day >= "2026-01-02"'),
        ((YEAR > 1) & (YEAR < 3) & TAGS.exists(), "year > 1 AND year < 3 AND tags:*"),
        ((YEAR > 1) & ((YEAR < 3) | TAGS.exists()), "year > 1 AND (year < 3 OR tags:*)"),
        (~((YEAR > 1) & (YEAR < 3)), "NOT (year > 1 AND year < 3)"),
        (Condition('a = "x" OR b = 1') & (YEAR > 1), '(a = "x" OR b = 1) AND year > 1'),
        (all_of(), 'NOT doc_id = ""'),
        (any_of(), 'doc_id = ""'),
    ],
)
def test_a_condition_says_what_was_meant_in_the_language_of_the_server(
    condition: Condition, text: str
) -> None:
    assert condition == text
    assert parse(str(condition)) is not None


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 2**53 + 1, datetime(2026, 1, 1), "half \ud800", np.float64("nan")],  # noqa: DTZ001
)
def test_a_value_that_would_not_arrive_as_it_is_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"finite|exact|time zone|surrogate"):
        _ = Field("x") == value


@pytest.mark.parametrize("value", [None, b"bytes", [1], {"a": 1}, object(), 1j])
def test_a_value_that_no_filter_knows_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="a filter compares with"):
        _ = Field("x") == value


def test_what_python_would_misread_is_refused() -> None:
    with pytest.raises(TypeError, match="use == and !="):
        _ = YEAR < True
    with pytest.raises(TypeError, match="combine it with"):
        _ = YEAR > 1 and YEAR < 3
    with pytest.raises(TypeError, match="combine it with"):
        _ = 1 < YEAR < 3
    with pytest.raises(TypeError, match="combine it with"):
        _ = not YEAR > 1
    with pytest.raises(TypeError, match="letter by letter"):
        TAGS.is_in("abc")
    with pytest.raises(TypeError, match="is no Condition"):
        _ = (YEAR > 1) & "lang = 1"  # type: ignore[operator]  # what a caller without types may do
    with pytest.raises(TypeError):
        _ = {YEAR: 1}
    with pytest.raises(ValueError, match="no key is empty"):
        Field("a", "")
    with pytest.raises(ValueError, match="one key or more"):
        Field()


def test_a_condition_goes_wherever_a_filter_goes() -> None:
    condition = (YEAR >= 2020) & (DOC_ID != "x")
    text = 'year >= 2020 AND doc_id != "x"'
    assert query_message({"query": "words", "filter": condition}).filter == text
    calls: list[Any] = [
        requests.count_documents(collection="", filter=condition),
        requests.delete_documents([], collection="", filter=condition, all=False, validate_only=False),
        requests.list_documents(
            collection="",
            filter=condition,
            page_size=0,
            page_token="",
            include_text=False,
            include_total_count=False,
        ),
    ]
    assert [call.request.filter for call in calls] == [text] * 3


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.one_of(
    TEXTS, st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False)
)


@given(path=st.lists(TEXTS.filter(bool), min_size=1, max_size=4), value=VALUES)
def test_any_key_and_any_value_arrive_as_they_are(path: list[str], value: Any) -> None:
    equal, listed = parse(str(Field(*path) == value)), parse(str(Field(*path).contains(value)))
    assert isinstance(equal, core.Comparison)
    assert equal.name == core.Name(tuple(path))
    assert isinstance(equal.value, bool) is isinstance(value, bool)
    assert equal.value == value
    assert listed == core.Contains(equal.name, equal.value)


TERMS = st.sampled_from([YEAR > 1, ~TAGS.exists(), TAGS.contains("a"), Condition("b = 1 OR c = 2")])


@given(
    st.recursive(
        TERMS,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
            st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
            inner.map(lambda one: ~one),
        ),
        max_leaves=10,
    )
)
def test_any_combination_parses(condition: Condition) -> None:
    assert parse(str(condition)) is not None
    assert parse(str(~condition)) == core.Not(_tree(condition))


def _tree(condition: Condition) -> core.Filter:
    tree = parse(str(condition))
    assert tree is not None
    return tree

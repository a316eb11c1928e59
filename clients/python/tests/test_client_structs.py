from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_client.structs import from_struct, to_struct

SCALARS = (
    st.none()
    | st.booleans()
    | st.text()
    | st.integers(min_value=-(2**53), max_value=2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), JSON))
def test_metadata_comes_back_as_it_went(metadata: dict[str, object]) -> None:
    assert from_struct(to_struct(metadata)) == metadata


def test_whole_numbers_come_back_as_int() -> None:
    assert [type(each) for each in from_struct(to_struct({"a": [2020, 0.5]}))["a"]] == [int, float]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"a": {"b": [1, math.nan]}}, r"a\.b\[1\]: nan is not a finite"),
        ({"a": math.inf}, "a: inf is not a finite"),
        ({"n": 2**53 + 1}, "n: 9007199254740993 is not exact"),
        ({"n": b"raw"}, "n: JSON has nothing like a bytes"),
        ({"n": {1: 2}}, "n: a key is a string, not 1"),
    ],
)
def test_what_would_not_come_back_is_refused_by_its_path(value: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        to_struct(value)

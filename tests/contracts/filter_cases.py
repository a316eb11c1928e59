"""Random filters and random metadata that meet, and the text of a filter."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from rag_grpc.core.filters import (
    OWN_FIELDS,
    And,
    Comparison,
    Contains,
    Filter,
    Name,
    Not,
    Operator,
    Or,
    Present,
    Scalar,
)
from rag_grpc.core.models import JsonValue, MetadataDict

# Few of each, so that what a filter asks of is often there: names that are own fields too, words of the
# language, and keys that need quotes.
KEYS = ["a", "b", "tags", "title", "metadata", "AND", "x y", "\u00e4"]
TEXTS = [
    "",
    "a",
    "b",
    "B",
    "\u00e4",
    "\U0001f600",
    "2020-01-01T00:00:00Z",
    "2020-01-01T01:00:00.000+01:00",
    "2020-01-01T00:00:00.5Z",
    "2019-12-31T23:59:60Z",
    "2020-13-01T00:00:00Z",
    "2020-01-01",
    "9",
]
NUMBERS = [0.0, -0.0, 1.0, 1.5, -2.0, 2.0**53, 1e300]

keys = st.sampled_from(KEYS)
texts = st.sampled_from(TEXTS)
scalars: st.SearchStrategy[Scalar] = texts | st.sampled_from(NUMBERS) | st.booleans()
values: st.SearchStrategy[JsonValue] = st.recursive(
    scalars | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=2),
    max_leaves=4,
)
metadata: st.SearchStrategy[MetadataDict] = st.dictionaries(keys, values, max_size=5).map(
    lambda drawn: {key: value for key, value in drawn.items() if value is not None}
)

names = st.sampled_from(OWN_FIELDS).map(lambda field: Name((field,), own=True)) | st.lists(
    keys, min_size=1, max_size=3
).map(lambda path: Name(tuple(path)))
comparisons = st.builds(
    Comparison, names, st.sampled_from(Operator), texts | st.sampled_from(NUMBERS)
) | st.builds(Comparison, names, st.sampled_from([Operator.EQUAL, Operator.UNEQUAL]), st.booleans())
leaves: st.SearchStrategy[Filter] = (
    comparisons | comparisons | st.builds(Contains, names, scalars) | st.builds(Present, names)
)


def _branches(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    chains = st.lists(inner, min_size=2, max_size=4).map(tuple)
    return st.builds(And, chains) | st.builds(Or, chains) | st.builds(Not, inner)


filters: st.SearchStrategy[Filter] = st.recursive(leaves, _branches, max_leaves=8)


def text_of(filter_: Filter) -> str:
    """The text that parses to this tree."""
    match filter_:
        case And(terms):
            return " AND ".join(_in_parentheses(term) for term in terms)
        case Or(terms):
            return " OR ".join(_in_parentheses(term) for term in terms)
        case Not(term):
            return f"NOT {_in_parentheses(term)}"
        case Comparison(name, operator, value):
            return f"{_name(name)} {operator.value} {_value(value)}"
        case Contains(name, value):
            return f"{_name(name)}:{_value(value)}"
        case Present(name):
            return f"{_name(name)}:*"


def _in_parentheses(filter_: Filter) -> str:
    return f"({text_of(filter_)})" if isinstance(filter_, And | Or) else text_of(filter_)


def _name(name: Name) -> str:
    if name.own:
        return name.path[0]
    return ".".join(("metadata", *(json.dumps(key) for key in name.path)))


def _value(value: Scalar) -> str:
    return json.dumps(value)

"""Filters of LangChain and LlamaIndex mean to the server what they mean there, whatever the metadata.

The judge of LlamaIndex's is LlamaIndex's own. LangChain has none: what stands here is MongoDB's meaning, as
plainly as it can be said. Keys have one type each, for across types the frameworks raise errors.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from rag_client.integrations.langchain.filters import filter_text as of_langchain
from rag_client.integrations.llamaindex.filters import filter_text as of_llamaindex
from rag_grpc.core.filter_language import parse
from rag_grpc.core.filters import Facts, matches

NUMBERS = st.integers(-2, 2) | st.sampled_from([0.5, -1.5])
TEXTS = st.sampled_from(["", "a", "b", 'say "a" OR b', "\\", "2020-01-01", "ä\u2028", "AND"])
VALUES = {"n.1": NUMBERS, "two words": TEXTS, "doc_id": TEXTS, "NOT": NUMBERS}
TAGS = "tags"
METADATA = st.fixed_dictionaries({}, optional={**VALUES, TAGS: st.lists(TEXTS, min_size=1, max_size=3)})


def passes(text: str, metadata: dict[str, Any]) -> bool:
    """What the server makes of a filter."""
    tree = parse(str(text))  # what the wire makes of a Condition
    return tree is None or matches(tree, Facts("id", "", 0, 0, metadata))


ORDERED = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


def _langchain_field(key: str) -> st.SearchStrategy[dict[str, Any]]:
    value = VALUES[key]
    signs: list[st.SearchStrategy[dict[str, Any]]] = [
        st.fixed_dictionaries({sign: value}) for sign in (*ORDERED, "$eq", "$ne")
    ]
    signs += [st.fixed_dictionaries({sign: st.lists(value, max_size=2)}) for sign in ("$in", "$nin")]
    signs += [st.fixed_dictionaries({"$exists": st.booleans()}), st.fixed_dictionaries({"$ne": st.none()})]
    asked: st.SearchStrategy[Any] = value | st.none() | st.one_of(signs)
    # A dot in a key leads into objects, so LangChain's dicts cannot name "n.1".
    return st.fixed_dictionaries({key: asked | st.fixed_dictionaries({"$not": st.one_of(signs)})})


LANGCHAIN_FIELDS = st.one_of(
    *(_langchain_field(key) for key in VALUES if "." not in key),
    st.fixed_dictionaries({TAGS: st.fixed_dictionaries({"$contains": TEXTS})}),
)
LANGCHAIN = st.recursive(
    LANGCHAIN_FIELDS,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$and": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"$or": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"$not": inner}),
        st.tuples(LANGCHAIN_FIELDS, inner).map(lambda both: {**both[0], **both[1]}),
    ),
    max_leaves=6,
)


def mongo(asked: dict[str, Any], metadata: dict[str, Any]) -> bool:
    return all(_mongo_entry(key, value, metadata) for key, value in asked.items())


def _mongo_entry(key: str, value: Any, metadata: dict[str, Any]) -> bool:
    if key == "$and":
        return all(mongo(each, metadata) for each in value)
    if key == "$or":
        return any(mongo(each, metadata) for each in value)
    if key == "$not":
        return not mongo(value, metadata)
    signs = value if isinstance(value, dict) else {"$eq": value}
    return all(_mongo_sign(sign, operand, metadata.get(key)) for sign, operand in signs.items())


def _mongo_sign(sign: str, operand: Any, found: Any) -> bool:
    if sign in ORDERED:
        return found is not None and bool(ORDERED[sign](found, operand))
    negated: dict[str, Callable[[], bool]] = {
        "$ne": lambda: _mongo_sign("$eq", operand, found),
        "$nin": lambda: _mongo_sign("$in", operand, found),
        "$not": lambda: all(_mongo_sign(inner, each, found) for inner, each in operand.items()),
    }
    if sign in negated:
        return not negated[sign]()
    plain: dict[str, Callable[[], bool]] = {
        "$eq": lambda: bool(found == operand),
        "$in": lambda: found is not None and found in operand,
        "$exists": lambda: (found is not None) == operand,
        "$contains": lambda: found is not None and operand in found,
    }
    return plain[sign]()


@given(LANGCHAIN, METADATA)
def test_langchains_dicts_mean_what_mongodb_means(asked: dict[str, Any], metadata: dict[str, Any]) -> None:
    assert passes(of_langchain(asked), metadata) == mongo(asked, metadata)


ONE = ("==", "!=", ">", "<", ">=", "<=")


def _llamaindex_field(key: str) -> st.SearchStrategy[MetadataFilter]:
    single = st.builds(
        MetadataFilter, key=st.just(key), operator=st.sampled_from([FilterOperator(sign) for sign in ONE]),
        value=VALUES[key],
    )  # fmt: skip
    several = st.builds(
        MetadataFilter,
        key=st.just(key),
        operator=st.sampled_from([FilterOperator.IN, FilterOperator.NIN]),
        value=st.lists(TEXTS if VALUES[key] is TEXTS else st.integers(-2, 2), max_size=2),
    )
    empty = st.builds(
        MetadataFilter, key=st.just(key), operator=st.just(FilterOperator.IS_EMPTY), value=st.none()
    )
    return single | several | empty


LLAMAINDEX = st.builds(
    MetadataFilters,
    filters=st.lists(
        st.one_of(
            *(_llamaindex_field(key) for key in VALUES),
            st.builds(
                MetadataFilter,
                key=st.just(TAGS),
                operator=st.sampled_from([FilterOperator.ANY, FilterOperator.ALL]),
                value=st.lists(TEXTS, max_size=2),
            ),
            st.builds(
                MetadataFilter, key=st.just(TAGS), operator=st.just(FilterOperator.CONTAINS), value=TEXTS
            ),
        ),
        max_size=3,
    ),
    condition=st.sampled_from(FilterCondition),
)


@given(LLAMAINDEX, METADATA)
def test_llamaindexs_filters_mean_what_llamaindex_means(
    asked: MetadataFilters, metadata: dict[str, Any]
) -> None:
    judge = build_metadata_filter_fn(lambda _: metadata, asked)
    assert passes(of_llamaindex(asked), metadata) == judge("any")

"""LlamaIndex's MetadataFilters as filters of the contract.

Their meaning is that of LlamaIndex's own SimpleVectorStore: a key is taken as it is, dots and all, and NE and
NIN let through what has no such key. CONTAINS, ANY and ALL ask lists, and not what stands within a string.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from rag_client.filters import DOC_ID, Condition, Field, all_of, any_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

REF_DOC_ID = Field("ref_doc_id")
"""Where a stored node keeps the id of the document that it was made of."""


def filter_text(
    filters: MetadataFilters | str | None,
    *,
    node_ids: Sequence[str] | None = None,
    ref_doc_ids: Sequence[str] | None = None,
) -> str:
    """Return the text of a filter that asks for all that is given; empty for nothing.

    Raises ValueError or TypeError where no filter says it.
    """
    asked: list[Condition] = []
    if isinstance(filters, MetadataFilters):
        if filters.filters:
            asked.append(condition(filters))
    elif isinstance(filters, str):
        if filters != "":  # a Condition has no truth to ask for
            asked.append(Condition(filters))
    elif filters is not None:
        raise TypeError(f"filters are MetadataFilters or a text, not a {type(filters).__name__}")
    if node_ids is not None:
        asked.append(DOC_ID.is_in(node_ids))
    if ref_doc_ids is not None:
        asked.append(REF_DOC_ID.is_in(ref_doc_ids))
    return all_of(*asked) if asked else ""


def condition(filters: MetadataFilters) -> Condition:
    """Return what MetadataFilters, which may be nested, ask for."""
    asked = [
        condition(each) if isinstance(each, MetadataFilters) else _compared(each) for each in filters.filters
    ]
    match filters.condition:
        case FilterCondition.OR:
            return any_of(*asked)
        case FilterCondition.NOT:
            return ~any_of(*asked)
        case _:
            return all_of(*asked)


def _compared(given: MetadataFilter) -> Condition:
    field = Field(given.key)
    if given.operator == FilterOperator.IS_EMPTY:
        return ~field.exists() | (field == "")
    if given.operator not in _SIGNS:
        raise ValueError(f"there is no filter {given.operator.name}; there are {', '.join(_SIGNS)}, is_empty")
    if given.value is None:
        raise ValueError(f"{given.key} cannot be compared with None: use IS_EMPTY")
    compare, takes_a_list = _SIGNS[given.operator]
    if takes_a_list != isinstance(given.value, list):
        wanted = "a list" if takes_a_list else "one value"
        raise TypeError(f"{given.operator.name} of {given.key} takes {wanted}, not {given.value!r}")
    return compare(field, given.value)


def _contained(field: Field, values: Iterable[Any]) -> list[Condition]:
    return [field.contains(value) for value in values]


_SIGNS: dict[str, tuple[Callable[[Field, Any], Condition], bool]] = {
    FilterOperator.EQ: (lambda field, value: field == value, False),
    FilterOperator.NE: (lambda field, value: ~(field == value), False),
    FilterOperator.GT: (lambda field, value: field > value, False),
    FilterOperator.GTE: (lambda field, value: field >= value, False),
    FilterOperator.LT: (lambda field, value: field < value, False),
    FilterOperator.LTE: (lambda field, value: field <= value, False),
    FilterOperator.CONTAINS: (lambda field, value: field.contains(value), False),
    FilterOperator.IN: (lambda field, values: field.is_in(values), True),
    FilterOperator.NIN: (lambda field, values: ~field.is_in(values), True),
    FilterOperator.ANY: (lambda field, values: any_of(*_contained(field, values)), True),
    FilterOperator.ALL: (lambda field, values: all_of(*_contained(field, values) or [field.exists()]), True),
}
"""How each operator compares, and whether with a list."""

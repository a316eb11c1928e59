"""A page token leads on in its own list, and nowhere else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.errors import InvalidField
from rag_grpc.rpc import page_tokens

# Text as protobuf strings hold it: no surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=600)
SCOPE = ("uid", "")


@given(position=TEXT, scope=st.lists(TEXT, max_size=3))
def test_a_text_comes_back(position: str, scope: list[str]) -> None:
    token = page_tokens.encode("documents", scope, position)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)
    assert page_tokens.text_position(token, "documents", scope) == position
    assert page_tokens.fault_of(token) is None


@given(first=st.integers(0, 2**32), revision=st.integers(0, 2**64 - 1))
def test_numbers_come_back(first: int, revision: int) -> None:
    token = page_tokens.encode("chunks", SCOPE, (first, revision))
    assert page_tokens.number_position(token, "chunks", SCOPE, 2) == (first, revision)


def test_no_token_is_no_position() -> None:
    assert page_tokens.text_position("", "documents", SCOPE) is None
    assert page_tokens.number_position("", "chunks", SCOPE, 2) is None
    assert page_tokens.fault_of("") is None


@pytest.mark.parametrize(
    ("kind", "scope"),
    [
        ("collections", SCOPE),
        ("documents", ("other", "")),
        ("documents", ("uid", "a = 1")),
        ("documents", ()),
    ],
)
def test_a_token_of_another_list_is_refused(kind: str, scope: tuple[str, ...]) -> None:
    token = page_tokens.encode("documents", SCOPE, "d")
    with pytest.raises(InvalidField) as caught:
        page_tokens.text_position(token, kind, scope)
    assert [violation.field for violation in caught.value.violations] == ["page_token"]


def test_a_position_of_another_kind_is_refused() -> None:
    text, numbers = page_tokens.encode("k", SCOPE, "d"), page_tokens.encode("k", SCOPE, (1, 2))
    with pytest.raises(InvalidField):
        page_tokens.text_position(numbers, "k", SCOPE)
    with pytest.raises(InvalidField):
        page_tokens.number_position(text, "k", SCOPE, 2)
    with pytest.raises(InvalidField):
        page_tokens.number_position(numbers, "k", SCOPE, 3)


@given(data=st.data())
def test_an_edited_token_is_refused(data: st.DataObject) -> None:
    token = page_tokens.encode("documents", SCOPE, "doc-17")
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters().filter(lambda letter: letter != token[place]))
    edited = token[:place] + letter + token[place + 1 :]
    assert page_tokens.fault_of(edited) is not None
    assert page_tokens.fault_of(token[:place] + token[place + 1 :]) is not None
    with pytest.raises(InvalidField):
        page_tokens.text_position(edited, "documents", SCOPE)


@given(token=st.text(min_size=1))
def test_any_other_text_is_refused(token: str) -> None:
    assert page_tokens.fault_of(token) is not None
    with pytest.raises(InvalidField):
        page_tokens.text_position(token, "documents", SCOPE)


def test_a_token_of_the_longest_id_is_within_the_rule() -> None:
    assert len(page_tokens.encode("documents", SCOPE, '"' * 512)) < 4096

"""A golden set is read whole, or every line at fault is named."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_grpc.core.golden_set import FAULTS_TOLD, MAX_QUESTIONS, MAX_TEXT, GoldenSetFault, Question, parse


def faults_of(text: str) -> list[str]:
    with pytest.raises(GoldenSetFault) as caught:
        parse(text)
    return caught.value.faults


def line(**keys: object) -> str:
    return json.dumps({"query": "q", "relevance": {"a": 1}, **keys})


def test_questions_are_read_in_order_and_empty_lines_are_skipped() -> None:
    text = "\n".join(
        [line(collection="docs", answer="So it is."), "", "  ", line(relevance={"a": 2, "b": 0})]
    )
    assert parse(text + "\r\n") == (
        Question("docs", "q", {"a": 1}, "So it is."),
        Question("default", "q", {"a": 2, "b": 0}),
    )


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ("{", "line 2: is no JSON: Expecting property name enclosed in double quotes at character 2"),
        ("[]", "line 2: is no JSON object"),
        ("[" * 100_000, "line 2: is nested too deeply"),
        ('{"query": "q", "query": "r", "relevance": {"a": 1}}', "line 2: has 'query' twice"),
        ('{"query": "q", "relevance": {"a": 1, "a": 2}}', "line 2: has 'a' twice"),
        ('{"query": "q", "relevance": {"a": NaN}}', "line 2: NaN is no JSON"),
        ("{}", "line 2: query is missing; relevance is missing"),
        (line(answers="x"), "there is no key 'answers'; there is collection, query, relevance, answer"),
        (line(query=" "), "line 2: query is no text, or an empty one"),
        (line(query=7), "line 2: query is no text, or an empty one"),
        (line(query="x" * (MAX_TEXT + 1)), f"query has {MAX_TEXT + 1} characters, {MAX_TEXT} are the most"),
        (line(answer=""), "line 2: answer is no text, or an empty one"),
        (line(collection=None), "line 2: collection is no text, or an empty one"),
        (line(relevance=["a"]), "line 2: relevance is no object of grades by doc_id"),
        (line(relevance={}), "line 2: relevance names no document with a grade of 1 or more"),
        (line(relevance={"a": 0}), "line 2: relevance names no document with a grade of 1 or more"),
        (line(relevance={"a": 1, "b": -1}), "the grade of 'b' is no whole number from 0 to 4294967295"),
        (line(relevance={"a": True}), "line 2: the grade of 'a' is no whole number"),
        (line(relevance={"a": 1.0}), "line 2: the grade of 'a' is no whole number"),
        (line(query="first"), "line 2: asks what line 1 asks"),
    ],
)
def test_a_line_at_fault_is_named_with_what_is_wrong(wrong: str, fault: str) -> None:
    [found] = faults_of(line(query="first") + "\n" + wrong)
    assert fault in found


def test_every_fault_is_told_but_not_without_end() -> None:
    assert faults_of("{}\n" + line() + "\n[]") == [
        "line 1: query is missing; relevance is missing",
        "line 3: is no JSON object",
    ]
    found = faults_of("no\n" * (FAULTS_TOLD + 7))
    assert len(found) == FAULTS_TOLD + 1
    assert found[-1] == "and 7 more lines"


def test_a_set_has_a_question_and_not_too_many() -> None:
    assert faults_of("\n \n") == ["has no question"]
    many = "\n".join(line(query=f"q{place}") for place in range(MAX_QUESTIONS + 1))
    assert faults_of(many) == [f"has {MAX_QUESTIONS + 1} questions, {MAX_QUESTIONS} are the most"]


@given(st.text() | st.recursive(st.none() | st.booleans() | st.text(), st.lists).map(json.dumps))
def test_whatever_it_is_it_is_read_or_refused(text: str) -> None:
    with suppress(GoldenSetFault):
        assert parse(text)

"""Texts become trees, or errors that say where and what; nothing takes long."""

from __future__ import annotations

import gc
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_grpc.core.errors import InvalidFilter
from rag_grpc.core.filter_language import parse
from rag_grpc.core.filter_tokens import MAX_DEPTH, MAX_TOKENS
from rag_grpc.core.filters import And, Comparison, Contains, Filter, Name, Not, Operator, Or, Present
from tests.contracts import filter_cases
from tests.contracts.filter_cases import text_of

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/filters.md").read_text(encoding="utf-8")
SECONDS = 0.05
"""What a filter may take at most, whatever it is."""

A = Comparison(Name(("a",)), Operator.EQUAL, 1.0)
B = Present(Name(("b",)))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", None),
        ("a = 1", A),
        (" a=1.0e0\n", A),
        ('"a" = 1', A),
        ("metadata.a = 1", A),
        ("(((a = 1)))", A),
        ("b:*", B),
        ("a = 1 AND b:*", And((A, B))),
        ("a = 1 OR b:* OR a = 1", Or((A, B, A))),
        ("(a = 1 AND b:*) AND a = 1", And((And((A, B)), A))),
        ("a = 1 AND (b:* OR a = 1)", And((A, Or((B, A))))),
        ("NOT a = 1 AND b:*", And((Not(A), B))),
        ("NOT (a = 1 AND b:*)", Not(And((A, B)))),
        ("NOT NOT b:*", Not(Not(B))),
        ('tags:"x"', Contains(Name(("tags",)), "x")),
        ("x != true", Comparison(Name(("x",)), Operator.UNEQUAL, True)),
        ("x:false", Contains(Name(("x",)), False)),
        ("x<-1.5E+3", Comparison(Name(("x",)), Operator.LESS, -1500.0)),
        ('x >= "\\u00e4\\n\\""', Comparison(Name(("x",)), Operator.AT_LEAST, '\u00e4\n"')),
        ('"a.b" . "c d" > 0', Comparison(Name(("a.b", "c d")), Operator.GREATER, 0.0)),
        ("title = 1", Comparison(Name(("title",), own=True), Operator.EQUAL, 1.0)),
        ('"title" = 1', Comparison(Name(("title",), own=True), Operator.EQUAL, 1.0)),
        ("metadata.title = 1", Comparison(Name(("title",)), Operator.EQUAL, 1.0)),
        ("metadata = 1", Comparison(Name(("metadata",)), Operator.EQUAL, 1.0)),
        ("metadata.metadata.x <= 1", Comparison(Name(("metadata", "x")), Operator.AT_MOST, 1.0)),
        ("true = true", Comparison(Name(("true",)), Operator.EQUAL, True)),
        ("state.OR:*", Present(Name(("state", "OR")))),
        ("gr\u00f6\u00dfe_1:*", Present(Name(("gr\u00f6\u00dfe_1",)))),
        ("android = 1", Comparison(Name(("android",)), Operator.EQUAL, 1.0)),
    ],
)
def test_a_text_is_a_tree(text: str, tree: Filter | None) -> None:
    assert repr(parse(text)) == repr(tree)


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        (" ", 1, "expected a name, NOT or '('"),
        ("a", 1, "expected '.', a comparison (=, !=, <, <=, > or >=) or ':'"),
        ("a = ", 4, "expected a value (a text in double quotes, a number, true or false)"),
        ("a:", 2, "true or false) or '*'"),
        ("a.", 2, "expected a key"),
        ("a = 1 b = 2", 6, "found 'b', expected AND, OR or the end"),
        ("a = 1 AND b = 2 OR c = 3", 16, "a chain of AND and OR together needs parentheses"),
        ("a = 1 OR b = 2 AND c = 3", 15, "a chain of AND and OR together needs parentheses"),
        ("a = 1 and b = 2", 6, "AND is written in capital letters"),
        ("a = en", 4, 'a text stands in double quotes: "en"'),
        ("a = 'en'", 4, "a text stands in double quotes"),
        ("a == 1", 3, "expected a value"),
        ("(a = 1", 6, "found the end of the filter, expected ')'"),
        ("a = 1)", 5, "found ')', expected the end"),
        ("()", 1, "expected a name"),
        ("AND = 1", 0, 'a key of that name stands in double quotes: "AND"'),
        ("a = 01", 4, "'01' is no number as JSON writes it"),
        ("a = .5", 4, "expected a value"),
        ("a = 1e999", 4, "within the range of a double"),
        ("a = NaN", 4, "expected a value"),
        ('a = "x', 4, "the string that begins here is not closed"),
        ('a = "\\x"', 5, "no JSON string"),
        ('a = "tab\there"', 8, "no JSON string"),
        ('a = "\\ud800"', 4, "half of a surrogate pair"),
        ('"" = 1', 0, "a key is never empty"),
        ("a < true", 2, "true and false know = and != alone"),
        ("title.x = 1", 6, "metadata.title.x"),
        ("a = $1", 4, "found '$'"),
        ("a = 1 ; DROP", 6, "found ';'"),
        ("\u00e4 = 1 \u00e4", 6, "found '\u00e4'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_what_was_expected(
    text: str, position: int, words: str
) -> None:
    with pytest.raises(InvalidFilter, match=re.escape(words)) as raised:
        parse(text)
    assert raised.value.position == position
    assert raised.value.metadata == {"position": str(position)}
    assert f"at character {position}" in raised.value.message
    (violation,) = raised.value.violations
    assert violation.field == "filter"


@given(filter_cases.filters)
def test_a_tree_is_the_tree_of_its_text(tree: Filter) -> None:
    assert repr(parse(text_of(tree))) == repr(tree)


def took(text: str) -> tuple[float, Filter | InvalidFilter | None]:
    """How long a text took to become what, in seconds of this thread: others may be using the machine."""
    outcome: Filter | InvalidFilter | None
    # A collection of all that the tests before have made is no cost of a filter.
    gc.disable()
    began = time.thread_time()
    try:
        outcome = parse(text)
    except InvalidFilter as error:
        outcome = error
    finally:
        seconds = time.thread_time() - began
        gc.enable()
    return seconds, outcome


def deep(opening: str, closing: str = "") -> Callable[[int], str]:
    return lambda levels: opening * levels + "a = 1" + closing * levels


@pytest.mark.parametrize(
    "text",
    [
        deep("(", ")")(100_000),
        "(" * 100_000,
        ")" * 100_000,
        deep("NOT ")(100_000),
        deep("NOT (", ")")(100_000),
        "a" + ".a" * 100_000 + " = 1",
        " AND ".join(["a = 1"] * 100_000),
        " OR ".join(["a:*"] * 100_000),
        'a = "' + "x" * 1_000_000 + '"',
        'a = "' + "\\" * 999_999,
        '"' * 100_000,
        "a = " + "9" * 100_000,
        "a" * 1_000_000,
        " " * 1_000_000,
        "=" * 100_000,
    ],
    ids=lambda text: f"{text[:10]}...",
)
def test_nothing_is_so_deep_or_long_that_it_takes_long(text: str) -> None:
    seconds, _ = took(text)
    assert seconds < SECONDS


@pytest.mark.parametrize(
    "nested", [deep("(", ")"), deep("NOT "), deep("NOT (", ")")], ids=["()", "NOT", "NOT ()"]
)
def test_nesting_has_a_bound(nested: Callable[[int], str]) -> None:
    levels = MAX_DEPTH if "NOT (" not in nested(1) else MAX_DEPTH // 2
    assert parse(nested(levels)) is not None
    with pytest.raises(InvalidFilter, match="deeper than 64 levels"):
        parse(nested(levels + 1))


def test_length_has_a_bound() -> None:
    most = " AND ".join(["a = 1"] * (MAX_TOKENS // 4))
    assert isinstance(parse(most), And)
    with pytest.raises(InvalidFilter, match="more than 4096 names, signs and values"):
        parse(f"{most} AND a = 1")


TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.+-]+|!=|<=|>=|\S')


def mutated(text: str, generator: random.Random) -> str:
    """Drop, double, swap or put in tokens, some of another filter's."""
    tokens = TOKENS.findall(text)
    for _ in range(generator.randint(1, 3)):
        place = generator.randrange(len(tokens) + 1)
        match generator.randrange(4):
            case 0:
                del tokens[place : place + 1]
            case 1:
                tokens[place:place] = tokens[place : place + 1]
            case 2:
                other = generator.randrange(len(tokens) + 1)
                if place < len(tokens) > other:
                    tokens[place], tokens[other] = tokens[other], tokens[place]
            case _:
                tokens.insert(
                    place,
                    generator.choice(["(", ")", "NOT", "AND", "OR", ".", ":", "*", "=", '"x"', "1", "$"]),
                )
    return " ".join(tokens)


def test_ten_thousand_mutations_are_trees_or_errors_that_say_where() -> None:
    texts: list[str] = []

    @settings(max_examples=200, deadline=None)
    @given(filter_cases.filters)
    def collect(tree: Filter) -> None:
        texts.append(text_of(tree))

    collect()
    generator = random.Random(1)
    outcomes = []
    for number in range(10_000):
        text = mutated(texts[number % len(texts)], generator)
        seconds, outcome = took(text)
        assert seconds < SECONDS, text
        if isinstance(outcome, InvalidFilter):
            assert 0 <= outcome.position <= len(text)
        elif outcome is not None:
            assert repr(parse(text_of(outcome))) == repr(outcome)
        outcomes.append(isinstance(outcome, InvalidFilter))
    assert 1_000 < sum(outcomes) < 9_999


@given(st.text(max_size=50))
def test_any_text_is_a_tree_or_an_error(text: str) -> None:
    _, outcome = took(text)
    assert (outcome is None) == (text == "")


def test_the_same_text_is_compiled_once() -> None:
    assert parse("a = 1 AND b = 2") is parse("a = 1 AND b = 2")


def test_the_page_s_examples_are_what_it_says() -> None:
    examples, error = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    assert [parse(line) is not None for line in examples.splitlines()] == [True] * 4
    with pytest.raises(InvalidFilter) as raised:
        parse("a=1 AND b=2 OR c=3")
    assert raised.value.message == error.strip()
    assert f"{MAX_TOKENS:,} names" in PAGE
    assert f"nests {MAX_DEPTH} levels" in " ".join(PAGE.split())

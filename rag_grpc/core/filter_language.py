"""Reads the filter language that proto/ragapi/v1/retrieval_service.proto defines into trees.

lark builds the table-driven parser: LALR, so time is linear and nothing recurses over
the text. `filter_tokens` bounds what a text may cost.

`doc_id`, `title`, `create_time` and `update_time` at the front of a name are the
document's own, in quotes or not; `metadata.` in front always leads into the metadata.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedToken, v_args

from rag_grpc.core.errors import InvalidFilter
from rag_grpc.core.filter_tokens import SHOWN, WORDS, FilterLexer, invalid, position_of, shown
from rag_grpc.core.filters import (
    METADATA,
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

_GRAMMAR = r"""
?start: filter
?filter: term | chain_of_and | chain_of_or
chain_of_and: term (AND term)+
chain_of_or: term (OR term)+
?term: restriction | NOT term -> negation | "(" filter ")"
?restriction: name OPERATOR (TEXT | NUMBER | TRUE | FALSE) -> comparison
    | name ":" (TEXT | NUMBER | TRUE | FALSE) -> contains
    | name ":" "*" -> present
name: (WORD | TEXT | TRUE | FALSE) ("." (WORD | TEXT | TRUE | FALSE | AND | OR | NOT))*

%declare AND OR NOT TRUE FALSE WORD TEXT NUMBER OPERATOR
LPAR: "("
RPAR: ")"
DOT: "."
COLON: ":"
STAR: "*"
"""

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)
_VALUE = frozenset({"TEXT", "NUMBER", "TRUE", "FALSE"})
_KEY = frozenset({"WORD", "TEXT", "TRUE", "FALSE", "AND", "OR", "NOT"})
_EXPECTED = (
    ("a key", _KEY),
    ("a value (a text in double quotes, a number, true or false)", _VALUE),
    ("a name", frozenset({"WORD", "TEXT", "TRUE", "FALSE"})),
    ("NOT", frozenset({"NOT"})),
    ("'('", frozenset({"LPAR"})),
    ("'.'", frozenset({"DOT"})),
    ("a comparison (=, !=, <, <=, > or >=)", frozenset({"OPERATOR"})),
    ("':'", frozenset({"COLON"})),
    ("'*'", frozenset({"STAR"})),
    ("AND", frozenset({"AND"})),
    ("OR", frozenset({"OR"})),
    ("')'", frozenset({"RPAR"})),
    ("the end", frozenset({"$END"})),
)
"""What a set of tokens is called, in the order in which it is told; what was told is not told again."""


@lru_cache(maxsize=256)
def parse(text: str) -> Filter | None:
    """Read a filter; None for the empty text, which lets everything through. Raises InvalidFilter."""
    if not text:
        return None
    try:
        # Lark's own signature says Tree; with a transformer it returns what that made.
        return cast("Filter", _PARSER.parse(text))
    except UnexpectedToken as error:
        raise _unexpected(error, text) from None


@v_args(inline=True)
class _Trees(Transformer[Token, Any]):
    """Makes our trees while lark parses, so that none of lark's own is ever built."""

    def chain_of_and(self, *terms: Filter | Token) -> Filter:
        return And(tuple(term for term in terms if not isinstance(term, Token)))

    def chain_of_or(self, *terms: Filter | Token) -> Filter:
        return Or(tuple(term for term in terms if not isinstance(term, Token)))

    def negation(self, _: Token, term: Filter) -> Filter:
        return Not(term)

    def comparison(self, name: Name, operator: Token, value: Token) -> Filter:
        comparator = Operator(str(operator))
        if value.type in ("TRUE", "FALSE") and comparator not in (Operator.EQUAL, Operator.UNEQUAL):
            raise invalid(position_of(operator), "true and false know = and != alone")
        return Comparison(name, comparator, _value(value))

    def contains(self, name: Name, value: Token) -> Filter:
        return Contains(name, _value(value))

    def present(self, name: Name) -> Filter:
        return Present(name)

    def name(self, *keys: Token) -> Name:
        path = tuple(_key(key) for key in keys)
        if len(path) > 1 and path[0] == METADATA:
            return Name(path[1:])
        if path[0] not in OWN_FIELDS:
            return Name(path)
        if len(path) > 1:
            raise invalid(
                position_of(keys[1]),
                f"{path[0]} is the document's own and holds no keys;"
                f" the metadata's is written {METADATA}.{'.'.join(path)[:SHOWN]}",
            )
        return Name(path, own=True)


_PARSER = Lark(_GRAMMAR, parser="lalr", lexer=FilterLexer, transformer=_Trees(), maybe_placeholders=False)


def _key(token: Token) -> str:
    key = _text(token) if token.type == "TEXT" else str(token)
    if not key:
        raise invalid(position_of(token), "a key is never empty")
    return key


def _value(token: Token) -> Scalar:
    match token.type:
        case "TEXT":
            return _text(token)
        case "NUMBER":
            return _number(token)
        case _:
            return token.type == "TRUE"


def _text(token: Token) -> str:
    try:
        text: str = json.loads(token)
    except json.JSONDecodeError as error:
        raise invalid(
            position_of(token) + error.pos,
            f"this is no JSON string: {error.msg}; write control characters as \\n or \\u0000",
        ) from None
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise invalid(position_of(token), "the string holds half of a surrogate pair, which is no character")
    return text


def _number(token: Token) -> float:
    number = float(token) if _NUMBER.fullmatch(token) else math.nan
    if not math.isfinite(number):
        raise invalid(
            position_of(token), f"{shown(token)} is no number as JSON writes it, within the range of a double"
        )
    return number


def _unexpected(error: UnexpectedToken, text: str) -> InvalidFilter:
    token, accepted = error.token, set(error.accepts or error.expected)
    at_end = token.type == "$END"
    position = len(text) if at_end else position_of(token)
    told: list[str] = []
    for words, kinds in _EXPECTED:
        if kinds <= accepted:
            told.append(words)
            accepted -= kinds
    found = "the end of the filter" if at_end else shown(token)
    wanted = told[0] if len(told) == 1 else f"{', '.join(told[:-1])} or {told[-1]}"
    return invalid(position, f"found {found}, expected {wanted}{_advice(token, told)}")


def _advice(token: Token, told: list[str]) -> str:
    """What is likely to have been meant."""
    if token.type in WORDS and {"AND", "OR"} & set(told):
        return "; a chain of AND and OR together needs parentheses"
    if token.type in WORDS:
        return f'; a key of that name stands in double quotes: "{token}"'
    if token.type == "WORD" and token.upper() in WORDS:
        return f"; {token.upper()} is written in capital letters"
    if token.type == "WORD" and any(words.startswith("a value") for words in told):
        return f'; a text stands in double quotes: "{token[:SHOWN]}"'
    return ""
